"""The surface of an object, by Crofton's formula.

The surface of a body is four times its mean shadow, and lines through its samples tell its shadow: along each of 13
directions to neighbouring samples, the object's ends are counted. A direction stands for the part of the sphere that
is nearest to it, in millimetres, so that the estimate has no bias for round shapes in anisotropic and oblique
volumes. Counting the faces of samples would give one and a half times the surface of a ball; flat sides along the
axes come out up to a tenth too small (ITK's perimeter is made in the same way; Lehmann and Legland 2012).
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.grid import Grid, tiles
from promptile.masks import ObjectMask

DIRECTIONS = np.array([v for v in itertools.product((-1, 0, 1), repeat=3) if v > (0, 0, 0)], np.int64)
"""``(13, 3)``: steps to neighbours, one of each pair of opposite ones, as ``(z, y, x)``."""

_SPHERE = 20_000
"""Points on the sphere by which its parts are weighed: good to a thousandth."""


_SIDE = 254
"""Side of the windows in which ends are counted: 16 MB with the samples around it."""


def surface(mask: ObjectMask, grid: Grid) -> float:
    """The surface of an object in a volume, in the world's units squared; where the image ends, the object does."""
    ends = np.zeros(len(DIRECTIONS), np.int64)
    for tile in tiles(mask.window.shape, _SIDE, 0):
        around = mask.read(tile.core.shift(mask.window.start).grow(1))
        if around.any():
            ends += _ends(around, DIRECTIONS)
    return float(ends @ _areas(grid.affine))


@lru_cache(maxsize=8)
def _areas(affine: tuple[tuple[float, ...], ...]) -> NDArray[np.float64]:
    """``(13,)``: how much surface an end along each direction stands for.

    Lines along a direction pierce a plane across it once per sample volume over the length of a step. The surface is
    twice the mean, over all directions, of the area of a plane times the ends of the lines that pierce it.
    """
    axes = np.array(affine)[:3, :3]
    steps = DIRECTIONS @ axes.T
    lengths = np.linalg.norm(steps, axis=1)
    nearest = np.abs(_sphere() @ (steps / lengths[:, None]).T).argmax(axis=1)
    weights = np.bincount(nearest, minlength=len(DIRECTIONS)) / _SPHERE
    areas: NDArray[np.float64] = 2 * abs(np.linalg.det(axes)) * weights / lengths
    return areas


def _sphere() -> NDArray[np.float64]:
    """Points that are spread evenly over the sphere, along a spiral ``(n, 3)``."""
    heights = 1 - (2 * np.arange(_SPHERE) + 1) / _SPHERE
    turns = np.arange(_SPHERE) * math.pi * (1 + math.sqrt(5))
    radii = np.sqrt(1 - heights**2)
    return np.stack([radii * np.cos(turns), radii * np.sin(turns), heights], axis=1)


@njit(cache=True, nogil=True)
def _ends(around: Any, directions: Any) -> Any:
    """Per direction, how often the object ends at one of its samples; the outermost samples are only looked at."""
    ends = np.zeros(len(directions), np.int64)
    for z in range(1, around.shape[0] - 1):
        for y in range(1, around.shape[1] - 1):
            for x in range(1, around.shape[2] - 1):
                if not around[z, y, x]:
                    continue
                for i in range(len(directions)):
                    a, b, c = directions[i]
                    ends[i] += not around[z + a, y + b, x + c]
                    ends[i] += not around[z - a, y - b, x - c]
    return ends
