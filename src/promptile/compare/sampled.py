"""Objects as samples of one grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.masks import ObjectMask

RIM = 0.02
"""Width of an object's rim as a part of the diagonal of its bounding box."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """Objects as samples in their bounding boxes; they may overlap, and none is empty.

    Parameters
    ----------
    ids : sequence of int
    windows : sequence of Window
        Bounding boxes.
    samples : sequence of ndarray of bool
        Per object what its window holds.
    names : mapping of int to str
        What objects are called, by id.
    """

    ids: Sequence[int]
    windows: Sequence[Window]
    samples: Sequence[NDArray[np.bool_]]
    names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of_labels(cls, labels: NDArray[np.integer[Any]]) -> Self:
        """The objects of a label image; what is not above 0 is background."""
        top = int(labels.max(initial=0))
        ids: Sequence[int] = range(top + 1)
        if top > labels.size:  # the few large ids of a sparse numbering, as small ones
            known, labels = np.unique(labels, return_inverse=True)
            below = int(np.searchsorted(known, 0, "right"))
            labels = (labels - below + 1).reshape(labels.shape)
            ids = [0, *known[below:].tolist()]
        cuts = ndimage.find_objects(labels.astype(np.int64, copy=False))
        found = [(k, cut) for k, cut in enumerate(cuts, 1) if cut is not None]
        return cls(
            [ids[k] for k, _ in found],
            [Window.between([s.start for s in cut], [s.stop for s in cut]) for _, cut in found],
            [labels[cut] == k for k, cut in found],
        )

    @classmethod
    def of_masks(cls, masks: Iterable[tuple[int, ObjectMask]]) -> Self:
        """Objects from ``(id, mask)``."""
        kept = [(n, mask.window, mask.read(mask.window)) for n, mask in masks if mask.count]
        return cls([n for n, _, _ in kept], [w for _, w, _ in kept], [s for _, _, s in kept])

    @classmethod
    def of_polygons(cls, ids: Sequence[int], polygons: NDArray[np.object_], shape: Sequence[int]) -> Self:
        """The samples of a 2D image whose centres lie in each polygon; polygons are ``(x, y)`` index coordinates."""
        drawn = ((n, _draw(polygon, shape)) for n, polygon in zip(ids, polygons, strict=True))
        return cls.of_masks((n, mask) for n, mask in drawn)

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        return np.array([np.count_nonzero(s) for s in self.samples], float)

    def neighbours(self, other: Self) -> NDArray[np.intp]:
        if not len(self.ids) or not len(other.ids):
            return np.empty((0, 2), np.intp)
        pairs = shapely.STRtree(other._boxes).query(self._boxes).T
        meet = [not (self.windows[i] & other.windows[j]).empty for i, j in pairs.tolist()]
        return np.asarray(pairs[np.array(meet, bool)], np.intp)

    def shared(self, i: int, other: Self, j: int) -> float:
        box = self.windows[i] & other.windows[j]
        return float(np.count_nonzero(self._cut(i, box) & other._cut(j, box)))

    def boundary_iou(self, i: int, other: Self, j: int) -> float:
        width = max(1, round(RIM * float(np.linalg.norm(other.windows[j].shape))))
        rims = Sampled(
            (1, 2), (self.windows[i], other.windows[j]), (_rim(self.samples[i], width), _rim(other.samples[j], width))
        )
        shared = rims.shared(0, rims, 1)
        return shared / (float(rims.sizes.sum()) - shared)

    @cached_property
    def _boxes(self) -> NDArray[np.object_]:
        """Bounding boxes on the last two axes."""
        edges = np.array([[*w.start[-2:], *w.stop[-2:]] for w in self.windows], float)
        boxes: NDArray[np.object_] = shapely.box(*edges.T)
        return boxes

    def _cut(self, i: int, box: Window) -> NDArray[np.bool_]:
        return self.samples[i][box.within(self.windows[i]).slices]


def _rim(samples: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Samples of an object within `width` samples of what is not, diagonals included (Cheng et al. 2021)."""
    inside = ndimage.distance_transform_cdt(np.pad(samples, 1), metric="chessboard")
    inner = inside[(slice(1, -1),) * samples.ndim]
    rim: NDArray[np.bool_] = samples & (inner <= width)
    return rim


def _draw(polygon: shapely.Geometry, shape: Sequence[int]) -> ObjectMask:
    """The samples whose centres lie in a polygon."""
    if polygon.is_empty:
        return ObjectMask(tuple(shape), {}, Window((0, 0), (0, 0)), 0)
    left, low, right, high = polygon.bounds
    window = Window.between((math.floor(low), math.floor(left)), (math.ceil(high) + 1, math.ceil(right) + 1)).clip(
        shape
    )
    if window.empty:
        return ObjectMask(tuple(shape), {}, Window((0, 0), (0, 0)), 0)
    offset = Affine.translation(window.start[1] - 0.5, window.start[0] - 0.5)
    drawn = rasterio.features.rasterize([polygon], window.shape, transform=offset, dtype=np.uint8)
    return ObjectMask.of(shape, window, drawn.astype(bool))
