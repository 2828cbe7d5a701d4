"""Rings as shapely geometries in the world, shaped as asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from promptile.corners import CornerScan
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.vectors.arcs import simplified
from promptile.vectors.curves import smoothed
from promptile.vectors.holes import filled
from promptile.vectors.lines import lines_of
from promptile.vectors.marks import Marks, Sheet
from promptile.vectors.outlines import corners_of, geometries, sort, to_geometries
from promptile.vectors.rightangles import right_angled
from promptile.vectors.rings import Rings, trace
from promptile.vectors.shaping import Shaping

_ALIKE = 0.8
"""Right angles are kept where they and the edges of samples cover the same, intersection over union."""

_ROUND = 4
"""A curve begins at most so many tolerances, or samples, away from its corner."""


@dataclass(frozen=True, eq=False)
class Shaper:
    """What is done to the outlines on a grid."""

    grid: Grid
    shaping: Shaping

    def __call__(
        self, rings: Rings, ids: NDArray[np.int64], sizes: NDArray[np.float64], sheet: Sheet
    ) -> NDArray[np.object_]:
        """One MultiPolygon for each of the `ids` ``(n,)``, which ascend and are the rings' labels.

        `sizes` ``(n,)`` are the areas in the measure of the table, `sheet` has all vertices in their bounding boxes.
        """
        rings = sort(rings)
        if self.shaping.fill_holes:
            rings = filled(rings, sheet, self.shaping.fill_holes / _size_of_sample(rings, ids, sizes))
        shapes = to_geometries(self._lines(rings, sheet, self.shaping.simplify, self.shaping.smooth), ids, self.grid)
        if self.shaping.regularize:
            self._regularize(shapes, rings, ids, sheet)
        return shapes

    def of_masks(self, masks: Sequence[ObjectMask], sizes: NDArray[np.float64]) -> NDArray[np.object_]:
        """One MultiPolygon for each of the `masks`, which know nothing of each other.

        To move outlines takes four bits per sample of a mask's bounding box.
        """
        if not self.shaping.moves:
            return geometries(masks, self.grid)
        scan, shapes = CornerScan(), np.empty(len(masks), object)
        for number, mask in enumerate(masks):
            corners = corners_of(mask, scan, 1)
            marks = Marks(Window(mask.window.start, tuple(n + 1 for n in mask.window.shape)), mask.shape)
            marks.slide(mask.window.start[0], mask.window.stop[0] + 1)
            marks.add(corners)
            shapes[number] = self(trace(corners), np.ones(1, np.int64), sizes[number : number + 1], marks.sheet)[0]
        return shapes

    def _lines(self, rings: Rings, sheet: Sheet, tolerance: float, smooth: int) -> Rings:
        if not tolerance and not smooth:
            return rings
        lines = lines_of(rings, sheet, tolerance >= max(self.grid.spacing) / 2)
        kept = np.ones(len(lines.nodes), np.bool_)
        if tolerance:
            kept = simplified(lines, self._metric / 2, tolerance)
        rule = (smooth, _ROUND * max(tolerance, *self.grid.spacing))
        points, starts = smoothed(lines, kept, self._metric / 2, rule)
        return rings._replace(points=points, starts=starts)

    def _regularize(self, shapes: NDArray[np.object_], rings: Rings, ids: NDArray[np.int64], sheet: Sheet) -> None:
        """Replace those of the `shapes` that right angles describe well."""
        step = max(self.shaping.simplify, *self.grid.spacing)
        made, found = right_angled(self._lines(rings, sheet, step, 0), rings.areas(), self._metric, 2 * step)
        wanted = to_geometries(made, ids, self.grid)
        exact = to_geometries(rings, ids, self.grid)
        whole = np.ones(len(ids), bool)
        outer = ~rings.hole  # a hole that is too small for walls stays as it is
        np.logical_and.at(whole, _label_of(rings, ids)[outer], found[outer])
        chosen = np.flatnonzero(whole & shapely.is_valid(wanted))
        common = shapely.area(shapely.intersection(wanted[chosen], exact[chosen]))
        either = shapely.area(wanted[chosen]) + shapely.area(exact[chosen]) - common
        alike = chosen[common >= _ALIKE * either]
        shapes[alike] = wanted[alike]

    @property
    def _metric(self) -> NDArray[np.float64]:
        return self.grid.matrix[:2, :2]


def _label_of(rings: Rings, ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """``(rings,)``: which of the `ids` each ring belongs to."""
    return np.searchsorted(ids, rings.label[rings.polygon])


def _size_of_sample(rings: Rings, ids: NDArray[np.int64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(rings,)``: the mean size of the samples of each ring's object, NaN where its size is not known."""
    label = _label_of(rings, ids)
    counts = np.bincount(label, np.where(rings.hole, -1, 1) * rings.areas(), len(ids))
    found: NDArray[np.float64] = (sizes / counts)[label]
    return found
