"""Several levels: objects too large for a tile are found whole at a coarser one, and drawn again at the finest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from promptile.engine.everything.merging import CoarseObject, Compare, Merge, Redraw, Wanted
from promptile.engine.everything.options import Everything
from promptile.engine.everything.running import Runner
from promptile.engine.everything.scales import CoarseLabels, Shared, choose, too_large
from promptile.engine.everything.stitching import blocks_of
from promptile.engine.everything.table import Known, Totals
from promptile.engine.job import Job
from promptile.engine.progress import one_line
from promptile.grid import Window, rescale
from promptile.models.protocols import Promptable
from promptile.run.images import LabelImages
from promptile.run.tiles import TileStore
from promptile.stitching import Index, Roles

_log = logging.getLogger("promptile")


@dataclass(frozen=True, eq=False)
class Stitched:
    """The objects of a level, painted."""

    images: LabelImages
    known: Known
    totals: Totals
    roles: Mapping[Index, Roles] = field(default_factory=dict)
    """What the tiles' ids are in it; none after levels were merged."""


@dataclass(frozen=True, eq=False)
class Step:
    """The merging of one coarser level."""

    finer: TileStore
    """Tiles of the next finer level, which is too coarse or too small for what is adopted."""
    coarser: TileStore
    target: LabelImages
    """What the merged objects are painted into."""


def merge(fine: Stitched, coarse: Stitched, step: Step, job: Job, asked: Everything, run: Runner) -> Stitched:
    """Adopt the objects of a coarser level that a tile of the next finer one is too small to show well."""
    wholes = LabelImages(coarse.images.folder, coarse.images.names[:1])
    labels = CoarseLabels(wholes, step.coarser.factors, step.coarser.shape)
    shape = job.source.grid.shape
    windows = blocks_of(shape)
    shared = Shared.sum(part for _, part in run("comparing levels", Compare(fine.images, labels), windows))
    large = too_large(coarse.totals.boxes, labels.factors, _reach(step.finer)) & (coarse.totals.counts > 0)
    choice = choose(shared, (fine.known, fine.totals.counts), coarse.known, large, asked.keep)
    wanted = Wanted(job, asked.area)
    redrawn = _redrawn(labels, coarse.totals.boxes, choice.adopted, wanted, run)
    scores, roots = coarse.known.scores[choice.adopted - 1], choice.roots(fine.known)
    work = Merge(wanted, fine.images, step.target, labels, choice, scores, roots, redrawn)
    known = choice.known(fine.known, coarse.known, step.finer.layers)
    tallies = dict(run("merging levels", work, windows))
    return Stitched(step.target, known, Totals.sum(len(known), len(shape), tallies))


def _reach(finer: TileStore) -> list[float]:
    """Half a core of the finer level, in samples of level 0: what is larger is likely to be cut there.

    Nothing is cut along an axis that one tile covers.
    """
    cores = np.subtract(finer.outer, finer.overlap)
    return [
        max(core, 1) * factor / 2 if count > 1 else np.inf
        for core, factor, count in zip(cores, finer.factors, finer.counts, strict=True)
    ]


def _redrawn(
    labels: CoarseLabels, boxes: NDArray[np.int64], adopted: NDArray[np.int64], wanted: Wanted, run: Runner
) -> Mapping[int, Window]:
    """Where the masks of the adopted objects lie that the model drew again at full resolution.

    An object that it cannot draw keeps its coarse outline.
    """
    model = wanted.job.model
    if not (isinstance(model, Promptable) and "mask" in model.card.abilities):
        return {}
    back = [1 / f for f in labels.factors]
    waiting = [CoarseObject(labels, int(n), rescale(boxes[n - 1].astype(float) - 0.5, back)) for n in adopted]
    found: dict[int, Window] = {}
    for outcome in run.outcomes("drawing large objects", Redraw(wanted, labels.images.folder), waiting):
        if outcome.error is not None:
            _log.warning("A large object keeps its coarse outline: %s", one_line(outcome.error))
        elif outcome.kept is not None:
            found[outcome.item.id] = outcome.kept
    return found
