"""The windows of a level: one lattice, so that embeddings are shared between prompts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from promptile.errors import UsageError
from promptile.grid import Window, starts

Index = tuple[int, ...]
"""Position of a window in its lattice, in array order."""

SIZE = {2: 1024, 3: 128}
"""Side of a window in samples, where neither model nor user says another."""
_SMALLEST = 16

_MOST_SHARED = 7 / 8
"""Overlap as a part of the size: windows that share more see nearly the same, and there are too many of them."""


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into windows.

    Parameters
    ----------
    size : int, optional
        Side of a window in samples; default 1024 in images, 128 in volumes.
    overlap : int, optional
        What neighbours share; default half of `size` for prompts, so that any prompt up to that size lies well inside
        a window; for everything an eighth, and a quarter in volumes.
    """

    size: int | None = None
    overlap: int | None = None

    def resolve(
        self, ndim: int, window: Sequence[int] = (), *, share: int = 2
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Size and overlap per axis, in samples.

        Parameters
        ----------
        ndim : int
            Number of axes that the model looks at.
        window : sequence of int
            What the model works best with; empty for any.
        share : int
            Without an overlap, neighbours share one part in so many.

        Raises
        ------
        UsageError
            If the size is too small or the overlap does not fit it.
        """
        size = (self.size,) * ndim if self.size is not None else tuple(window) or (SIZE[ndim],) * ndim
        overlap = tuple(s // share if self.overlap is None else self.overlap for s in size)
        if self.size is not None and min(size) < _SMALLEST:
            raise UsageError(f"Tile size {min(size)} is too small: use --tile {_SMALLEST} or more")
        for s, o in zip(size, overlap, strict=True):
            if not 2 <= o <= s * _MOST_SHARED:
                raise UsageError(f"Overlap {o} does not fit tiles of {s}: use --overlap 2 to {int(s * _MOST_SHARED)}")
        return size, overlap


@dataclass(frozen=True)
class Lattice:
    """All windows over one level.

    ::

        size 8, overlap 4 over 18 samples       0   4   8   12  16 18
                                    index 0     [=======]
                                    index 1         [=======]
                                    index 2             [=======]
                                    index 3               [=======]    the last shifts inward

    Parameters
    ----------
    shape : tuple of int
        Shape of the level.
    size, overlap : tuple of int
        Per axis.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    overlap: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @cached_property
    def _starts(self) -> tuple[list[int], ...]:
        return tuple(starts(n, s, o) for n, s, o in zip(self.shape, self.size, self.overlap, strict=True))

    @cached_property
    def window_shape(self) -> tuple[int, ...]:
        """All windows have this shape."""
        return tuple(map(min, self.size, self.shape))

    def __getitem__(self, index: Index) -> Window:
        return Window(tuple(axis[i] for axis, i in zip(self._starts, index, strict=True)), self.window_shape)

    def core(self, index: Index) -> Window:
        """The part of a window that is nearer to its centre than to its neighbours'; cores partition the level."""
        low, high = [], []
        for axis, i, size, length in zip(self._starts, index, self.window_shape, self.shape, strict=True):
            low.append((axis[i] + axis[i - 1] + size) // 2 if i else 0)
            high.append((axis[i + 1] + axis[i] + size) // 2 if i + 1 < len(axis) else length)
        return Window.between(low, high)

    def central(self, point: NDArray[np.float64]) -> Index:
        """The window in which a point lies most centrally; the first of equals."""
        nearest = []
        for axis, size, x in zip(self._starts, self.window_shape, point, strict=True):
            nearest.append(int(np.argmin(np.abs(np.asarray(axis) + (size - 1) / 2 - x))))
        return tuple(nearest)

    def around(self, window: Window) -> Iterator[Index]:
        """Windows that share samples with `window`, in order."""
        spans = []
        for axis, size, a, b in zip(self._starts, self.window_shape, window.start, window.stop, strict=True):
            first = np.searchsorted(np.asarray(axis) + size, a, side="right")
            spans.append(range(int(first), int(np.searchsorted(axis, b, side="left"))))
        return itertools.product(*spans)

    def beside(self, index: Index, axis: int, step: int) -> Index | None:
        """The neighbour along one axis, or None at the image's border."""
        moved = index[axis] + step
        if not 0 <= moved < len(self._starts[axis]):
            return None
        return (*index[:axis], moved, *index[axis + 1 :])
