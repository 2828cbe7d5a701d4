"""The protocol behind which work is spread over threads, processes or a cluster."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Item = TypeVar("Item")
Kept = TypeVar("Kept")


class Work(Protocol):
    """What is done to each item, in three steps, so that reading and writing can run beside the model.

    Work is sent to each worker once and used for all its items: what it opens (image, model) it opens when it is
    first used, keeps, and leaves behind when it is pickled. `read` and `write` may be called from threads beside
    `compute`, two of them at a time; `compute` is called from one thread at a time. Each step can be repeated: a
    second writing of the same item leaves the same bytes.
    """

    def read(self, item: Any) -> Any:
        """What `compute` needs for an item."""
        ...

    def compute(self, item: Any, seen: Any) -> Any:
        """The answer: the expensive part."""
        ...

    def write(self, item: Any, answer: Any) -> Any:
        """Put the answer where it is kept; what is returned is small, and travels to the caller."""
        ...


@dataclass(frozen=True)
class Outcome(Generic[Item, Kept]):
    """What became of an item."""

    item: Item
    kept: Kept | None
    """What `Work.write` returned."""
    error: Exception | None = None
    """Why there is no answer; then `kept` is None."""


class Executor(AbstractContextManager["Executor"], Protocol):
    """Runs work on items. Used as a context; workers live as long as it."""

    workers: int
    """How many items are computed at a time."""

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[Outcome[Item, Any]]:
        """Outcomes as they come, in any order, one per item.

        An item that raises gives an outcome with the error, and the others go on. Items of a worker that dies are
        given to another one once; then they are outcomes with an error too. When the iterator is closed early,
        nothing new is begun.
        """
        ...


def outcome(item: Item, keep: Callable[[], Kept]) -> Outcome[Item, Kept]:
    """What becomes of an item whose last step is `keep`."""
    try:
        return Outcome(item, keep())
    except Exception as error:
        # Frames hold what was read and computed, and outcomes may be kept for long.
        traceback.clear_frames(error.__traceback__)
        return Outcome(item, None, error)
