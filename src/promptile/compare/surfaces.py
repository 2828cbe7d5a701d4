"""Surfaces of objects in a volume, and how far apart they lie (Nikolov et al. 2018).

A surface is made of elements, one wherever eight samples meet that are not all the same::

    o---o       o object      The element lies in the middle of the eight; its area is what the plane
    |  /|       . not         between them has there: the length of the gradient of the eight samples,
    o-/-.                     in millimetres, times the volume of one.
    |/  |
    .---.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from promptile.grid import Grid, Window

_SLAB = 2**22
"""Samples that are looked at together."""

_ROUNDED_MM = 1e-6
"""What distances may lose by rounding before they count as above a tolerance."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The elements of an object's surface.

    Parameters
    ----------
    places : ndarray of float, shape (n, 3)
        In the world.
    areas : ndarray of float, shape (n,)
    """

    places: NDArray[np.float64]
    areas: NDArray[np.float64]

    @classmethod
    def of(cls, samples: NDArray[np.bool_], window: Window, grid: Grid) -> Surface:
        """The surface of an object whose `samples` lie in `window`; where the window ends, the object does."""
        padded = np.pad(samples, 1)
        thick = max(1, _SLAB // (padded.shape[1] * padded.shape[2]))
        parts = [
            _elements(padded[z : z + thick + 1], np.add(window.start, (z - 0.5, -0.5, -0.5)), grid)
            for z in range(0, len(padded) - 1, thick)
        ]
        return cls(np.concatenate([p for p, _ in parts]), np.concatenate([a for _, a in parts]))


@dataclass(frozen=True)
class Apart:
    """How far apart two surfaces lie."""

    surface_dice: float
    """The share of both surfaces that lies within the tolerance of the other one."""
    hd95_mm: float
    """The larger of the two distances within which 95 % of a surface lies of the other one."""


def apart(a: Surface, b: Surface, tolerance_mm: float) -> Apart:
    """Compare two surfaces; neither is empty."""
    to_b = np.asarray(cKDTree(b.places).query(a.places)[0], float)
    to_a = np.asarray(cKDTree(a.places).query(b.places)[0], float)
    near = a.areas[to_b <= tolerance_mm + _ROUNDED_MM].sum() + b.areas[to_a <= tolerance_mm + _ROUNDED_MM].sum()
    return Apart(
        surface_dice=float(near / (a.areas.sum() + b.areas.sum())),
        hd95_mm=max(_within(to_b, a.areas, 0.95), _within(to_a, b.areas, 0.95)),
    )


def _within(distances: NDArray[np.float64], areas: NDArray[np.float64], share: float) -> float:
    """The distance within which this share of the area lies."""
    order = np.argsort(distances)
    sums = np.cumsum(areas[order])
    at = int(np.searchsorted(sums, share * sums[-1]))
    return float(distances[order[min(at, len(order) - 1)]])


def _elements(
    samples: NDArray[np.bool_], first: NDArray[np.float64], grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places and areas of the elements between `samples`; the first one lies at the index `first`."""
    eight = samples.astype(np.int8)
    gradients = np.stack([_differences(eight, axis) for axis in range(3)], axis=-1)
    found = np.argwhere(gradients.any(axis=-1))
    axes = grid.matrix[:3, :3]
    lengths = np.linalg.norm((gradients[tuple(found.T)] / 4) @ np.linalg.inv(axes), axis=1)
    return grid.to_world(found + first + 0.5), lengths * grid.sample_size


def _differences(samples: NDArray[np.int8], axis: int) -> NDArray[Any]:
    """Sums of the four differences along an axis, wherever eight samples meet."""
    found: NDArray[Any] = np.diff(samples, axis=axis)
    for other in range(3):
        if other != axis:
            low = [slice(None)] * 3
            high = [slice(None)] * 3
            low[other], high[other] = slice(None, -1), slice(1, None)
            found = found[tuple(low)] + found[tuple(high)]
    return found
