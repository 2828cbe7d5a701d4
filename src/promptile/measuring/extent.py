"""How far an object reaches: its longest diameter and its bounds in the world."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from promptile.grid import Grid, Window
from promptile.masks import ObjectMask

_MOST = 50_000
"""Corners that are gathered before all but the outermost are forgotten."""

_ROWS = 500
"""Corners whose distances to all others are held at a time."""


def outermost(mask: ObjectMask, grid: Grid) -> NDArray[np.float64]:
    """World coordinates ``(n, ndim)`` of the corners of the object's convex hull; its samples are boxes."""
    held = np.zeros((0, grid.ndim))
    for block, samples in mask.blocks():
        held = np.concatenate([held, _corners(block, samples)])
        if len(held) > _MOST:
            held = _hull(held)
    return grid.to_world(_hull(held)) if len(held) else held


def longest_diameter(corners: NDArray[np.float64]) -> float:
    """The largest distance between two of the corners that `outermost` gives; 0 without any."""
    parts = (corners[i : i + _ROWS] for i in range(0, len(corners), _ROWS))
    return max((float(cdist(part, corners).max()) for part in parts), default=0.0)


def _corners(block: Window, samples: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Corners, in index coordinates, of the first and last sample of each row in a block."""
    rows = np.argwhere(samples.any(axis=-1))
    lines = samples[tuple(rows.T)]
    first, last = lines.argmax(axis=1), samples.shape[-1] - 1 - lines[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([rows, first - 0.5]), np.column_stack([rows, last + 0.5])])
    offsets = np.array([[*o, 0.0] for o in itertools.product((-0.5, 0.5), repeat=samples.ndim - 1)])
    corners = (ends[:, None] + offsets).reshape(-1, samples.ndim)
    return np.asarray(_hull(corners) + np.asarray(block.start), float)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points on the convex hull; it is never flat, as it is made of boxes."""
    hull: NDArray[np.float64] = points[ConvexHull(points).vertices]
    return hull
