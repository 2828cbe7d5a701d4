"""Who does which item, when those who do them can die."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Generic

from promptile.engine.execute.protocol import Item, Outcome
from promptile.errors import WorkerError


class Round(Generic[Item]):
    """What is left of one run.

    Items are known by their number. Those whose worker died are suspects: each of them is tried once more by a
    worker that has nothing else in hand, so that it cannot take others with it again.

    Parameters
    ----------
    items : sequence
    workers : int
        How many there are.
    """

    def __init__(self, items: Sequence[Item], workers: int) -> None:
        self.items = items
        self.left = len(items)
        self._fresh = iter(range(len(items)))
        self._suspects: deque[int] = deque()
        self._tried: set[int] = set()
        self._deaths = 0  # since the last answer
        self._most_deaths = 2 * (workers + 2)

    def give(self, begun: Collection[int], room: int) -> list[int]:
        """What a worker does next.

        Parameters
        ----------
        begun : collection of int
            What it has in hand.
        room : int
            How much it may have in hand.
        """
        if self._suspects and not begun:
            return [self._suspects.popleft()]
        if not self._tried.isdisjoint(begun):
            return []
        return [*itertools.islice(self._fresh, max(room - len(begun), 0))]

    def done(self, number: int, kept: Any, error: Exception | None) -> Outcome[Item, Any]:
        """The outcome of an item that its worker has done."""
        self._deaths = 0
        self.left -= 1
        return Outcome(self.items[number], kept, error)

    def lose(self, begun: Collection[int], reason: str) -> Iterator[Outcome[Item, Any]]:
        """Take back what a worker that died had in hand, and give up what was tried twice.

        Raises
        ------
        WorkerError
            If workers do nothing but die.
        """
        self._deaths += 1
        if self._deaths > self._most_deaths:
            raise WorkerError(f"Workers die one after the other, the last one {reason}: use fewer --workers")
        for number in sorted(begun):
            if number not in self._tried:
                self._tried.add(number)
                self._suspects.append(number)
                continue
            self.left -= 1
            error = WorkerError(f"Its worker {reason}, twice: if memory ran out, use fewer --workers or smaller tiles")
            yield Outcome(self.items[number], None, error)
