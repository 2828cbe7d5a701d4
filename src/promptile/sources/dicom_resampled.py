"""Slices that do not form a grid, interpolated onto one that is.

Where the slices lie is kept: each output slice is made of the slices below and above it, each moved sideways, in its
plane, to where it was taken::

    taken (tilted)     ___________            resampled  |     ___________  |
                     ___________                         |   ___________    |    corners without
                   ___________                           | ___________      |    samples are nodata
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Grid
from promptile.sources.itk import lps_grid
from promptile.sources.whole import SLAB

_SAME = 1e-6
"""Share of a step within which an output slice is a slice that was taken."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How slices become a regular stack.

    Parameters
    ----------
    grid : Grid
        Of the result.
    heights : ndarray of float, shape (n,)
        Where the slices were taken, in steps of the result along its first axis; ascending from 0.
    offsets : ndarray of float, shape (n, 2)
        Where each slice's first sample lies in the result's slices, ``(y, x)`` in samples.
    """

    grid: Grid
    heights: NDArray[np.float64]
    offsets: NDArray[np.float64]

    @classmethod
    def of(cls, size: Sequence[int], steps: NDArray[np.float64], places: NDArray[np.float64]) -> Plan:
        """A plan for slices of `size` ``(x, y)``, in order.

        Parameters
        ----------
        size : sequence of int
        steps : ndarray of float, shape (3, 3)
            Columns are the steps along x and y in millimetres; the third is not looked at.
        places : ndarray of float, shape (n, 3)
            Where the slices' first samples are.
        """
        normal = np.cross(steps[:, 0], steps[:, 1])
        normal /= np.linalg.norm(normal)
        gaps = (places - places[0]) @ normal
        step = float(np.median(np.diff(gaps)))
        columns = np.linalg.lstsq(steps[:, :2], (places - places[0] - np.outer(gaps, normal)).T, rcond=None)[0]
        offsets = columns[::-1].T  # (y, x)
        low, high = np.floor(offsets.min(axis=0) + _SAME), np.ceil(offsets.max(axis=0) - _SAME)
        shape = (int(np.floor(gaps[-1] / step + _SAME)) + 1, *(np.array(size[1::-1]) + high - low).astype(int).tolist())
        axes = np.column_stack([steps[:, :2], normal * step])
        origin = places[0] + steps[:, :2] @ low[::-1]
        return cls(lps_grid(shape[::-1], axes, origin), gaps / step, offsets - low)

    def slabs(self, decode: Callable[[int], NDArray[Any]], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
        """The resampled slices ``(c, n, y, x)``, a few at a time; `decode` gives ``(c, y, x)`` of a slice."""
        moved = lru_cache(maxsize=2)(lambda i: self._moved(decode(i), self.offsets[i]))
        for first in range(0, self.grid.shape[0], SLAB):
            last = min(first + SLAB, self.grid.shape[0])
            part = np.stack([self._between(z, moved) for z in range(first, last)], axis=1)
            part = part if dtype.kind == "f" else np.rint(part)
            yield np.where(np.isnan(part), nothing(dtype), part).astype(dtype)

    def _between(self, z: int, moved: Callable[[int], NDArray[np.float32]]) -> NDArray[np.float32]:
        """A slice of the result, from the slices below and above it."""
        above = int(np.clip(np.searchsorted(self.heights, z - _SAME), 0, len(self.heights) - 1))
        if abs(self.heights[above] - z) <= _SAME or above == 0:
            return moved(above)
        below, share = above - 1, (z - self.heights[above - 1]) / (self.heights[above] - self.heights[above - 1])
        return np.asarray(moved(below) * (1 - share) + moved(above) * share, np.float32)

    def _moved(self, samples: NDArray[Any], offset: NDArray[np.float64]) -> NDArray[np.float32]:
        """A slice where it was taken; NaN around it."""
        canvas = np.full((len(samples), *self.grid.shape[1:]), np.nan, np.float32)
        canvas[:, : samples.shape[1], : samples.shape[2]] = samples
        if np.abs(offset).max() <= _SAME:
            return canvas
        for channel in canvas:
            ndimage.shift(channel.copy(), offset, output=channel, order=1, cval=np.nan)
        return canvas


def nothing(dtype: np.dtype[Any]) -> float:
    """The value of samples where nothing was taken."""
    return float("nan") if dtype.kind == "f" else int(np.iinfo(dtype).min)
