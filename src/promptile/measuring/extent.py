"""How far an object reaches: its longest diameter and its bounds in the world."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from promptile.grid import Grid, Window
from promptile.masks import ObjectMask

_MOST = 50_000
"""Corners that are gathered before all but the outermost are forgotten."""

_ROUNDED = 1e-9

_ROWS = 500
"""Corners whose distances to all others are held at a time."""


def outermost(mask: ObjectMask, grid: Grid) -> NDArray[np.float64]:
    """World coordinates ``(n, ndim)`` of the corners of the object's convex hull; its samples are boxes."""
    parts: list[NDArray[np.float64]] = [np.zeros((0, grid.ndim))]
    count, most = 0, _MOST
    for block, samples in mask.blocks():
        parts.append(_corners(block, samples))
        count += len(parts[-1])
        if count > most:
            parts = [_hull(np.concatenate(parts))]
            count, most = len(parts[0]), max(_MOST, 2 * len(parts[0]))
    held = np.concatenate(parts)
    return grid.to_world(_hull(held)) if len(held) else held


def longest_diameter(corners: NDArray[np.float64]) -> float:
    """The largest distance between two of the corners that `outermost` gives; 0 without any."""
    if not len(corners):
        return 0.0
    corners = _far_out(corners)
    parts = (corners[i : i + _ROWS] for i in range(0, len(corners), _ROWS))
    return max(float(cdist(part, corners).max()) for part in parts)


def _far_out(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners that may be one end of the longest diameter.

    A walk from corner to farthest corner finds some diameter. Seen from its middle, no corner is farther than r; both
    ends of a longer one are at least its length less r away.
    """
    here, length = corners[0], 0.0
    there = here
    for _ in range(4):
        distances = np.linalg.norm(corners - here, axis=1)
        there, here = here, corners[int(distances.argmax())]
        length = float(distances.max())
    out = np.linalg.norm(corners - (here + there) / 2, axis=1)
    kept: NDArray[np.float64] = corners[out >= (length - out.max()) * (1 - _ROUNDED)]
    return kept


def _corners(block: Window, samples: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Corners, in index coordinates, of those samples of a block that may be on the hull.

    Such a sample is the first or last one of the object on its line along every axis.
    """
    outer = samples
    for axis in range(samples.ndim):
        outer = outer & _ends(samples, axis)
    offsets = np.indices((2,) * samples.ndim).reshape(samples.ndim, -1).T - 0.5
    corners = (np.argwhere(outer)[:, None] + offsets).reshape(-1, samples.ndim)
    return np.asarray(corners + np.asarray(block.start), float)


def _ends(samples: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """The first and last sample of each line along an axis."""
    ends = np.zeros(samples.shape, bool)
    first = np.expand_dims(samples.argmax(axis), axis)
    last = samples.shape[axis] - 1 - np.expand_dims(np.flip(samples, axis).argmax(axis), axis)
    np.put_along_axis(ends, first, True, axis)
    np.put_along_axis(ends, last, True, axis)
    return ends


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points on the convex hull; it is never flat, as it is made of boxes."""
    hull: NDArray[np.float64] = points[ConvexHull(points).vertices]
    return hull
