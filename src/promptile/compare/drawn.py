"""Objects as polygons, where neither side has samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from promptile.compare.sampled import RIM


@dataclass(frozen=True, eq=False)
class Drawn:
    """Objects as valid polygons in one coordinate system; none is empty.

    Parameters
    ----------
    ids : sequence of int
    polygons : ndarray of shapely geometries, shape (n,)
    names : mapping of int to str
        What objects are called, by id.
    """

    ids: Sequence[int]
    polygons: NDArray[np.object_]
    names: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        areas: NDArray[np.float64] = shapely.area(self.polygons)
        return areas

    def neighbours(self, other: Self) -> NDArray[np.intp]:
        return np.asarray(shapely.STRtree(other.polygons).query(self.polygons).T, np.intp)

    def shared(self, i: int, other: Self, j: int) -> float:
        return float(shapely.intersection(self.polygons[i], other.polygons[j]).area)

    def boundary_iou(self, i: int, other: Self, j: int) -> float:
        left, low, right, high = other.polygons[j].bounds
        width = RIM * float(np.hypot(right - left, high - low))
        rims = [p.difference(p.buffer(-width)) for p in (self.polygons[i], other.polygons[j])]
        return float(rims[0].intersection(rims[1]).area / rims[0].union(rims[1]).area)
