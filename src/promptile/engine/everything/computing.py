"""The order of it all: answer, match, join, paint, number; and what happens when a tile fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from promptile.engine.everything.answering import AnswerTiles, objects_of
from promptile.engine.everything.options import Everything
from promptile.engine.everything.stitching import (
    MatchTiles,
    PaintBlocks,
    Renumber,
    blocks_of,
    painted_blocks,
    pairs_of,
)
from promptile.engine.everything.table import Totals, objects_table
from promptile.engine.execute.protocol import Executor, Work
from promptile.engine.job import Job
from promptile.engine.progress import Progress, one_line
from promptile.engine.propose import proposer_of
from promptile.grid import Tile
from promptile.run import Failure, TiledRun
from promptile.run.store import layer_name
from promptile.run.tiles import TileStore
from promptile.stitching import Edges, Index, Joined, join

_TRIES = 2

Item = TypeVar("Item")


def check_proposer(job: Job, asked: Everything) -> None:
    """Raise ModelError if the model can neither propose objects nor be asked for them point by point."""
    proposer_of(job.model, asked.grid)


def compute(run: TiledRun, job: Job, asked: Everything, executor: Executor, progress: Progress) -> None:
    """Answer the tiles that have no answer yet, failed ones twice, then stitch.

    Only what lies on the disk is used from one step to the next, so that a run that was stopped goes on as if it had
    not been.
    """
    if run.finished and not run.failed:
        return
    run.reopen()
    failed = [failure for store in reversed(run.stores) for failure in _answer(store, job, asked, executor, progress)]
    (store,) = run.stores
    joined = _join(store, executor, progress)
    totals = _paint(run, store, joined, executor, progress)
    run.finish(objects_table(joined, totals, run.grid, hierarchy=run.layers > 1), failed)


def _answer(store: TileStore, job: Job, asked: Everything, executor: Executor, progress: Progress) -> list[Failure]:
    """Answer the tiles of a level; those that failed twice."""
    proposer = proposer_of(job.model, asked.grid)
    work = AnswerTiles(job, proposer, store, asked.keep, asked.min_region, asked.area)
    done = store.done()
    waiting = [tile for index, tile in store.tiles.items() if index not in done]
    count = len(done)
    failed: list[tuple[Tile, Exception]] = []
    progress("tiles", count, len(store.tiles))
    for _ in range(_TRIES):
        failed = []
        for outcome in executor.run(work, waiting):
            if outcome.error is not None:
                failed.append((outcome.item, outcome.error))
            else:
                count += 1
            progress("tiles", count, len(store.tiles))
        waiting = [tile for tile, _ in failed]
    return [Failure("tile", _position(store, tile), one_line(error)) for tile, error in sorted(failed, key=_order)]


def _order(failed: tuple[Tile, Exception]) -> Index:
    return failed[0].index


def _position(store: TileStore, tile: Tile) -> tuple[int, ...]:
    """Which tile, for people: of coarser levels with the level before it."""
    return (store.level, *tile.index) if store.level else tile.index


def _join(store: TileStore, executor: Executor, progress: Progress) -> Joined:
    objects = objects_of(store, store.done())
    pairs = pairs_of(store, objects)
    edges: dict[tuple[Index, Index], Edges] = {}
    progress("matching", 0, len(pairs))
    for pair, found in _results(executor, MatchTiles(store), pairs):
        edges[pair] = found
        progress("matching", len(edges), len(pairs))
    return join(objects, edges)


def _paint(run: TiledRun, store: TileStore, joined: Joined, executor: Executor, progress: Progress) -> Totals:
    names = tuple(layer_name(layer) for layer in range(run.layers))
    blocks = painted_blocks(store, joined.roles)
    tallies = {}
    for block, tally in _results(executor, PaintBlocks(store, names, run.grid), blocks):
        tallies[block.window] = tally
        progress("labels", len(tallies), len(blocks))
    totals = Totals(len(joined), run.grid.ndim)
    for _, tally in sorted(tallies.items()):
        totals.add(tally)
    if len(joined) and totals.dense[-1] < len(joined):
        windows = blocks_of(store.shape)
        for count, _ in enumerate(_results(executor, Renumber(store, names, totals.dense), windows), 1):
            progress("numbering", count, len(windows))
    return totals


def _results(executor: Executor, work: Work, items: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
    """What was kept of each item; none of them may fail."""
    for outcome in executor.run(work, items):
        if outcome.error is not None:
            raise outcome.error
        yield outcome.item, outcome.kept
