"""A coarser grid over a part of a view: how a volume of any size becomes work of bounded size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class WorkGrid:
    """Cells of ``factors`` samples each over `window`; the last cells may hold fewer.

    ::

        samples   |o o o|o o o|o o|      window of 8 samples, factor 3
        cells     |  0  |  1  | 2 |
    """

    window: Window
    """In the view's samples."""
    factors: tuple[int, ...]
    spacing: tuple[float, ...]
    """Of the cells, in world units."""

    @classmethod
    def over(cls, window: Window, spacing: Sequence[float], most: int) -> WorkGrid:
        """The finest grid over `window` of at most `most` cells; the axis with the finest cells is pooled first."""
        factors = [1] * window.ndim
        while math.prod(-(-n // f) for n, f in zip(window.shape, factors, strict=True)) > most:
            poolable = [a for a in range(window.ndim) if factors[a] < window.shape[a]]
            axis = min(poolable, key=lambda a: factors[a] * spacing[a])
            factors[axis] += 1
        return cls(window, tuple(factors), tuple(f * s for f, s in zip(factors, spacing, strict=True)))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(-(-n // f) for n, f in zip(self.window.shape, self.factors, strict=True))

    @cached_property
    def centres(self) -> tuple[NDArray[np.float64], ...]:
        """Per axis the centres of the cells in the view's index coordinates."""
        centres = []
        for start, n, f in zip(self.window.start, self.window.shape, self.factors, strict=True):
            first = np.arange(0, n, f)
            centres.append(start + (first + np.minimum(first + f, n) - 1) / 2)
        return tuple(centres)

    @property
    def sample_centres(self) -> tuple[NDArray[np.float64], ...]:
        """Per axis the index coordinates of the window's samples."""
        return tuple(np.arange(a, b, dtype=float) for a, b in zip(self.window.start, self.window.stop, strict=True))

    def pool(self, samples: NDArray[Any]) -> Field:
        """Means over the cells of an array of the whole view."""
        pooled: NDArray[Any] = samples[self.window.slices].astype(np.float32)
        for axis, (n, f) in enumerate(zip(self.window.shape, self.factors, strict=True)):
            if f == 1:
                continue
            first = np.arange(0, n, f)
            held = np.minimum(first + f, n) - first
            sums = np.add.reduceat(pooled, first, axis=axis)
            pooled = sums / held.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(samples.ndim)])
        return pooled

    def cells(self, points: NDArray[np.float64]) -> NDArray[np.intp]:
        """``(n, ndim)`` cells that hold points of the view; the nearest cell for a point outside."""
        held = np.floor((points + 0.5 - self.window.start) / self.factors).astype(np.intp)
        return np.clip(held, 0, np.subtract(self.shape, 1))

    def distances(self, point: NDArray[np.float64], spacing: NDArray[np.float64]) -> Field:
        """From a point of the view (of three axes) to the cells, in world units; `spacing` is the view's."""
        z, y, x = (((c - p) * s) ** 2 for c, p, s in zip(self.centres, point, spacing, strict=True))
        far: Field = np.sqrt(z[:, None, None] + y[:, None] + x).astype(np.float32)
        return far

    def spread(self, field: NDArray[Any]) -> Field:
        """A field on the cells, interpolated linearly at the window's samples."""
        spread: NDArray[Any] = field.astype(np.float32)
        for axis, (n, f) in enumerate(zip(self.window.shape, self.factors, strict=True)):
            if f == 1:
                continue
            at = np.clip((np.arange(n, dtype=np.float32) + 0.5) / f - 0.5, 0, spread.shape[axis] - 1)
            low = at.astype(np.intp)
            high = np.minimum(low + 1, spread.shape[axis] - 1)
            weight = (at - low).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
            spread = spread.take(low, axis) * (1 - weight) + spread.take(high, axis) * weight
        return spread.astype(np.float32, copy=False)
