"""Work with progress; what may fail is told apart from what may not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from promptile.engine.execute.protocol import Executor, Outcome, Work
from promptile.engine.progress import Progress

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs work on items, and says how far it is."""

    executor: Executor
    progress: Progress

    def __call__(self, what: str, work: Work, items: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
        """Items with what was kept of them, as they come; if one fails, everything stops.

        That is for work that only handles what is on the disk. `what` is what people are told.
        """
        for outcome in self.outcomes(what, work, items):
            if outcome.error is not None:
                raise outcome.error
            yield outcome.item, outcome.kept

    def outcomes(self, what: str, work: Work, items: Sequence[Item]) -> Iterator[Outcome[Item, Any]]:
        """What became of each item, as they come."""
        self.progress(what, 0, len(items))
        for count, outcome in enumerate(self.executor.run(work, items), 1):
            self.progress(what, count, len(items))
            yield outcome
