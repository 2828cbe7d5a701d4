"""Parts within their wholes: what tiles said of a hierarchy, made true for the stitched image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from promptile.engine.everything.levels import Stitched
from promptile.engine.everything.running import Runner
from promptile.engine.everything.scales import Shared
from promptile.engine.everything.stitching import blocks_of, tally
from promptile.engine.everything.table import Known, Tally, Totals
from promptile.grid import Grid, Window
from promptile.run.images import LabelImages
from promptile.stitching import counted


def nest(found: Stitched, target: LabelImages, grid: Grid, run: Runner) -> Stitched:
    """Give each part the object it lies in as its parent, one layer below it, and cut it to it.

    Layers are stitched each by itself, so that a tile that errs can leave a part beside its parent, or without one.
    A part with most of its samples in no larger object is a whole.
    """
    windows = blocks_of(grid.shape)
    shared = Shared.sum(part for _, part in run("comparing layers", CompareLayers(found.images), windows))
    known = _placed(found.known, shared, found.totals.counts)
    work = Nest(found.images, target, known.layers, known.parents, grid)
    tallies = dict(run("nesting", work, windows))
    return Stitched(target, known, Totals.sum(len(known), grid.ndim, tallies))


def _placed(known: Known, shared: Shared, counts: NDArray[np.int64]) -> Known:
    """Objects with the parents that hold more than half of them, and their layers."""
    layers, parents = np.zeros_like(known.layers), np.zeros_like(known.parents)
    holds = (shared.fine > 0) & (2 * shared.counts > counts[shared.coarse - 1])
    above, part = shared.fine[holds], shared.coarse[holds]
    nearest = np.lexsort((known.layers[above - 1], known.layers[part - 1]))  # a part's innermost holder comes last
    for whole, each in zip(above[nearest], part[nearest], strict=True):
        parents[each - 1], layers[each - 1] = whole, layers[whole - 1] + 1
    return replace(known, layers=layers, parents=parents)


@dataclass(frozen=True)
class CompareLayers:
    """Work: counts which samples of parts lie in which objects of all layers above."""

    images: LabelImages

    def read(self, window: Window) -> NDArray[np.uint32]:
        return self.images.read(window)

    def compute(self, _window: Window, labels: NDArray[np.uint32]) -> Shared:
        return Shared.sum(_pairs(labels))

    def write(self, _window: Window, shared: Shared) -> Shared:
        return shared


def _pairs(labels: NDArray[np.uint32]) -> Iterator[Shared]:
    for layer, parts in enumerate(labels):
        for above in labels[:layer]:
            yield Shared.of(above, parts)


@dataclass(frozen=True, eq=False)
class Nest:
    """Work: copies label images, each object into its layer and within its parent."""

    source: LabelImages
    target: LabelImages
    layers: NDArray[np.uint8]
    parents: NDArray[np.uint32]
    """Both ``(n,)``, of the objects."""
    grid: Grid

    def read(self, window: Window) -> NDArray[np.uint32]:
        return self.source.read(window)

    def compute(self, window: Window, labels: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], Tally]:
        layer_of, parent_of = np.append(0, self.layers), np.append(0, self.parents).astype(np.uint32)
        nested = np.zeros_like(labels)
        for ids in labels:  # wholes first: the parent of a part is there before it
            for layer, room in enumerate(nested):
                mine = (ids > 0) & (layer_of[ids] == layer) & (room == 0)
                if layer:
                    mine &= nested[layer - 1] == parent_of[ids]
                room[mine] = ids[mine]
        return nested, tally(counted(nested, window, self.grid.shape), window, self.grid)

    def write(self, window: Window, answer: tuple[NDArray[np.uint32], Tally]) -> Tally:
        self.target.write(window, answer[0])
        return answer[1]
