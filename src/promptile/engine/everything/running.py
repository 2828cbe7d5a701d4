"""Work of which no item may fail, with progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from promptile.engine.execute.protocol import Executor, Work
from promptile.engine.progress import Progress

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs work that only handles what is on the disk already: if an item of it fails, everything stops."""

    executor: Executor
    progress: Progress

    def __call__(self, what: str, work: Work, items: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
        """Items with what was kept of them, as they come; `what` is what people are told."""
        self.progress(what, 0, len(items))
        for count, outcome in enumerate(self.executor.run(work, items), 1):
            if outcome.error is not None:
                raise outcome.error
            self.progress(what, count, len(items))
            yield outcome.item, outcome.kept
