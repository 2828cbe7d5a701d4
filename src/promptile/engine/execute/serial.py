"""One after the other: the reference that every other executor must agree with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from promptile.engine.execute.protocol import Item, Outcome, Work, outcome


class Serial:
    """Reads, computes and writes each item before anything of the next one is begun. For tests and debuggers."""

    workers = 1

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None: ...

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[Outcome[Item, Any]]:
        """Outcomes in the order of `items`."""
        for item in items:
            yield outcome(item, partial(_all, work, item))


def _all(work: Work, item: Any) -> Any:
    return work.write(item, work.compute(item, work.read(item)))
