"""The order of it all: answer, match, join, paint, merge, number; and what happens when a tile fails."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from promptile.engine.everything.answering import AnswerTiles, objects_of
from promptile.engine.everything.levels import Stitched, merge
from promptile.engine.everything.options import Everything
from promptile.engine.everything.running import Runner
from promptile.engine.everything.stitching import (
    MatchTiles,
    PaintBlocks,
    Renumber,
    blocks_of,
    painted_blocks,
    pairs_of,
)
from promptile.engine.everything.table import Known, Totals, dense_ids, objects_table
from promptile.engine.execute.protocol import Executor
from promptile.engine.job import Job
from promptile.engine.progress import Progress, one_line
from promptile.engine.propose import proposer_of
from promptile.grid import Tile
from promptile.run import Failure, TiledRun
from promptile.run.store import layer_name
from promptile.run.tiles import TileStore, level_labels
from promptile.stitching import Index, join

_TRIES = 2


def check_proposer(job: Job, asked: Everything) -> None:
    """Raise ModelError if the model can neither propose objects nor be asked for them point by point."""
    proposer_of(job.model, asked.grid)


def compute(run: TiledRun, job: Job, asked: Everything, executor: Executor, progress: Progress) -> None:
    """Answer the tiles that have no answer yet, failed ones twice, then stitch.

    Only what lies on the disk is used from one step to the next, so that a run that was stopped goes on as if it had
    not been.
    """
    if run.complete:
        return
    run.reopen()
    failed = [failure for store in reversed(run.stores) for failure in _answer(store, job, asked, executor, progress)]
    runner = Runner(executor, progress)
    result, *coarser = (_stitch(store, names, job, runner) for store, names in _label_names(run))
    for finer, found in zip(run.stores, coarser, strict=False):
        result = merge(result, found, finer, job, asked, runner)
    _renumber(result, runner)
    table = objects_table(result.known, result.totals, run.grid, hierarchy=run.layers > 1, scales=bool(coarser))
    run.finish(table, failed)


def _label_names(run: TiledRun) -> Iterator[tuple[TileStore, tuple[str, ...]]]:
    """The stores of a run, and the names of the label images that each is painted into."""
    for store in run.stores:
        layers = range(run.layers)
        yield store, tuple(level_labels(store.level, k) if store.level else layer_name(k) for k in layers)


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


def _stitch(store: TileStore, names: tuple[str, ...], job: Job, run: Runner) -> Stitched:
    """Match, join and paint the answers of a level."""
    objects = objects_of(store, store.done())
    joined = join(objects, dict(run("matching", MatchTiles(store), pairs_of(store, objects))))
    grid = job.source.grid.coarsen(store.factors)
    painted = run("labels", PaintBlocks(store, names, grid), painted_blocks(store, joined.roles))
    totals = Totals.sum(len(joined), grid.ndim, {block.window: tally for block, tally in painted})
    return Stitched(store, names, Known.of(joined, store.level), totals)


def _renumber(found: Stitched, run: Runner) -> None:
    """Number the objects that were painted by their first samples."""
    order = found.totals.order(found.known)
    if np.array_equal(order, np.arange(len(found.known))):
        return
    ids = dense_ids(order, len(found.known))
    for _ in run("numbering", Renumber(found.store, found.names, ids), blocks_of(found.store.shape)):
        pass
