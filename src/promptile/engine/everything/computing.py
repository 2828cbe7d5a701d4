"""The order of it all: answer, match, join, paint, merge, number; and what happens when a tile fails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promptile.engine.everything.answering import AnswerTiles, objects_of
from promptile.engine.everything.hierarchy import nest
from promptile.engine.everything.levels import Step, Stitched, merge
from promptile.engine.everything.options import Everything
from promptile.engine.everything.running import Runner
from promptile.engine.everything.stitching import (
    MatchTiles,
    PaintBlocks,
    Pair,
    Renumber,
    blocks_of,
    painted_blocks,
    pairs_of,
)
from promptile.engine.everything.table import Known, Totals, dense_ids, objects_table
from promptile.engine.execute.protocol import Executor
from promptile.engine.execute.twice import answer_twice
from promptile.engine.job import Job
from promptile.engine.progress import Progress, one_line
from promptile.engine.propose import proposer_of
from promptile.grid import Tile
from promptile.run import Failure, TiledRun
from promptile.run.images import LabelImages
from promptile.run.tiles import TileStore
from promptile.stitching import Matches, join


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
    painted = [_stitch(store, run.painted(store), job, runner) for store in run.stores]
    result = painted[0]
    for finer, coarser, found in zip(run.stores, run.stores[1:], painted[1:], strict=False):
        result = merge(result, found, Step(finer, coarser, run.merged(coarser)), job, asked, runner)
    if run.layers > 1:
        result = nest(result, run.nested, run.grid, runner)
    order = _number(result, run, asked.min_region, runner)
    several, layered = len(painted) > 1, run.layers > 1
    run.finish(objects_table(result.known, result.totals, order, run.grid, hierarchy=layered, scales=several), failed)


def _answer(store: TileStore, job: Job, asked: Everything, executor: Executor, progress: Progress) -> list[Failure]:
    """Answer the tiles of a level; those that failed twice."""
    proposer = proposer_of(job.model, asked.grid)
    work = AnswerTiles(job, proposer, store, asked.keep, asked.min_region, asked.area)
    done = store.done()
    waiting = [tile for index, tile in store.tiles.items() if index not in done]
    failed = answer_twice(executor, work, waiting, lambda n: progress("tiles", len(done) + n, len(store.tiles)))
    return [Failure("tile", _position(store, tile), one_line(error)) for tile, error in failed]


def _position(store: TileStore, tile: Tile) -> tuple[int, ...]:
    """Which tile, for people: of coarser levels with the level before it."""
    return (store.level, *tile.index) if store.level else tile.index


def _stitch(store: TileStore, images: LabelImages, job: Job, run: Runner) -> Stitched:
    """Match, join and paint the answers of a level."""
    done = store.done()
    objects = objects_of(store, done)
    matches: dict[Pair, Matches] = {}
    for _, found in run("matching", MatchTiles(store), pairs_of(store, objects)):
        matches.update(found)
    joined = join(objects, matches, [tile.core for index, tile in store.tiles.items() if index not in done])
    grid = job.source.grid.coarsen(store.factors)
    painted = run("labels", PaintBlocks(store, images, grid), painted_blocks(store, joined.roles))
    totals = Totals.sum(len(joined), grid.ndim, {block.window: tally for block, tally in painted})
    return Stitched(images, Known.of(joined, store.level), totals, joined.roles)


def _number(found: Stitched, run: TiledRun, least: int, runner: Runner) -> NDArray[np.int64]:
    """Number the objects with at least so many samples by their first ones, in the result; their rows in this order.

    Nothing is written where it is read, so that a block may be done twice.
    """
    order = found.totals.order(found.known, least)
    ids = dense_ids(order, len(found.known))
    if found.images != run.images:
        copy = Renumber(found.images, run.images, ids)
        list(runner("numbering", copy, blocks_of(run.grid.shape)))
    elif not np.array_equal(order, np.arange(len(found.known))):
        (store,) = run.stores
        blocks = painted_blocks(store, found.roles, ids)
        list(runner("numbering", PaintBlocks(store, run.images, run.grid), blocks))
    return order
