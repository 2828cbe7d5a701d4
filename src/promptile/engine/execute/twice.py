"""Tiles that answer: those that failed are asked once more, as a file or a worker may have been away for a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from promptile.engine.execute.protocol import Executor, Work
from promptile.grid import Tile

_TRIES = 2


def answer_twice(
    executor: Executor, work: Work, tiles: Sequence[Tile], told: Callable[[int], None]
) -> list[tuple[Tile, Exception]]:
    """Let tiles answer, those that failed once more.

    Parameters
    ----------
    executor : Executor
    work : Work
    tiles : sequence of Tile
    told : callable
        Called with how many have answered, at the beginning and after each try of a tile.

    Returns
    -------
    list of (Tile, Exception)
        Tiles without an answer, by their index, and why.
    """
    answered, waiting = 0, list(tiles)
    failed: list[tuple[Tile, Exception]] = []
    told(answered)
    for _ in range(_TRIES):
        failed = []
        for outcome in executor.run(work, waiting):
            if outcome.error is None:
                answered += 1
            else:
                failed.append((outcome.item, outcome.error))
            told(answered)
        waiting = [tile for tile, _ in failed]
    return sorted(failed, key=lambda pair: pair[0].index)
