"""Several levels: objects too large for a tile are found whole at a coarser one, and drawn again at the finest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promptile.engine.everything.merging import Compare, Merge, Redraw, merged_objects, objects_to_redraw, roots_of
from promptile.engine.everything.options import Everything
from promptile.engine.everything.running import Runner
from promptile.engine.everything.scales import CoarseLabels, Shared, choose, too_large
from promptile.engine.everything.stitching import blocks_of
from promptile.engine.everything.table import Known, Totals
from promptile.engine.job import Job
from promptile.grid import Window
from promptile.models.protocols import Promptable
from promptile.run.tiles import TileStore


@dataclass(frozen=True, eq=False)
class Stitched:
    """The objects of a level, painted."""

    store: TileStore
    names: tuple[str, ...]
    """Of the label images, one per layer."""
    known: Known
    totals: Totals


def merge(fine: Stitched, coarse: Stitched, finer: TileStore, job: Job, asked: Everything, run: Runner) -> Stitched:
    """Adopt the objects of a coarser level that a tile of the next finer one, `finer`, is too small to show well."""
    labels = CoarseLabels(coarse.store.folder, coarse.names[0], coarse.store.factors, coarse.store.shape)
    windows = blocks_of(fine.store.shape)
    shared = Shared.sum(part for _, part in run("comparing levels", Compare(fine.store, fine.names, labels), windows))
    large = too_large(coarse.totals.boxes, coarse.store.factors, _reach(finer)) & (coarse.totals.counts > 0)
    choice = choose(shared, (fine.known, fine.totals.counts), coarse.known, large, asked.keep)
    redrawn: dict[int, Window] = {}
    if isinstance(job.model, Promptable) and "mask" in job.model.card.abilities:
        waiting = objects_to_redraw(labels, coarse.totals.boxes, choice.adopted)
        found = run("drawing large objects", Redraw(job, labels), waiting)
        redrawn = {each.id: place for each, place in found if place is not None}
    roots = roots_of(fine.known, choice.absorbed)
    scores = coarse.known.scores[choice.adopted - 1]
    work = Merge(job, fine.store, fine.names, labels, choice, scores, roots, redrawn, asked.area)
    known = merged_objects(fine.known, coarse.known, choice, roots, fine.store.layers)
    tallies = dict(run("merging levels", work, windows))
    return Stitched(fine.store, fine.names, known, Totals.sum(len(known), len(fine.store.shape), tallies))


def _reach(finer: TileStore) -> list[float]:
    """Half a core of the finer level, in samples of level 0: what is larger is likely to be cut there."""
    cores = np.subtract(finer.outer, finer.overlap)
    return [max(c, 1) * f / 2 for c, f in zip(cores, finer.factors, strict=True)]
