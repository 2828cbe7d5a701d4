"""Where samples are: `Window`, `Grid`, `Tile`.

An integer index is the **centre** of a sample, so sample ``i`` covers ``[i - 0.5, i + 0.5)``::

    index        -0.5   0   0.5   1   1.5   2   2.5
                   |----o----|----o----|----o----|
    Window((0,), (3,)) covers all three: [-0.5, 2.5)

Arrays are indexed ``(y, x)`` or ``(z, y, x)``; world coordinates are ``(x, y)`` or ``(x, y, z)``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PIXELS = "pixels"
"""The space of an image without a coordinate system: world is ``(x, y[, z])`` in samples, or as its transform says."""

LPS = "LPS"
"""The space of medical images: millimetres to the patient's Left, Posterior and Superior (DICOM, ITK)."""


@dataclass(frozen=True, order=True)
class Window:
    """An n-dimensional box of whole samples.

    Parameters
    ----------
    start : tuple of int
        Index of the first sample on each axis, in array order.
    shape : tuple of int
        Number of samples on each axis; zero or less means that the window is empty.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int]) -> Window:
        """The window of a whole array."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @classmethod
    def between(cls, start: Sequence[int], stop: Sequence[int]) -> Window:
        """The window from `start` up to, not including, `stop`."""
        return cls(tuple(map(int, start)), tuple(int(b) - int(a) for a, b in zip(start, stop, strict=True)))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def stop(self) -> tuple[int, ...]:
        """Index after the last sample on each axis."""
        return tuple(a + n for a, n in zip(self.start, self.shape, strict=True))

    @property
    def size(self) -> int:
        """Number of samples."""
        return math.prod(max(n, 0) for n in self.shape)

    @property
    def empty(self) -> bool:
        """Whether it has no samples."""
        return any(n <= 0 for n in self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices that cut this window out of the array it is a window of."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def __and__(self, other: Window) -> Window:
        """What both windows cover; shape 0 on an axis on which they do not meet."""
        start = tuple(map(max, self.start, other.start))
        stop = tuple(map(min, self.stop, other.stop))
        return Window.between(start, tuple(map(max, start, stop)))

    def __or__(self, other: Window) -> Window:
        """The smallest window that covers both; an empty one covers nothing."""
        if self.empty or other.empty:
            return other if self.empty else self
        return Window.between(tuple(map(min, self.start, other.start)), tuple(map(max, self.stop, other.stop)))

    def __contains__(self, other: Window) -> bool:
        return all(a <= c and d <= b for a, b, c, d in zip(self.start, self.stop, other.start, other.stop, strict=True))

    def grow(self, margin: int) -> Window:
        """The window with `margin` more samples on every side (fewer where negative)."""
        return Window(tuple(a - margin for a in self.start), tuple(n + 2 * margin for n in self.shape))

    def clip(self, shape: Sequence[int]) -> Window:
        """The part of the window inside an array of `shape`."""
        return self & Window.of(shape)

    def shift(self, offset: Sequence[int]) -> Window:
        """The window moved by so many samples along each axis."""
        return Window(tuple(a + d for a, d in zip(self.start, offset, strict=True)), self.shape)

    def within(self, outer: Window) -> Window:
        """The same box seen from `outer`'s first sample: what to slice out of `outer`'s array."""
        return self.shift(tuple(-a for a in outer.start))

    def holds(self, points: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Which of the `points` ``(n, ndim)``, in index coordinates, lie on this window's samples."""
        low = np.subtract(self.start, 0.5)
        high = np.subtract(self.stop, 0.5)
        return np.asarray(((points >= low) & (points < high)).all(axis=-1), bool)


def rescale(points: ArrayLike, factors: Sequence[float]) -> NDArray[np.float64]:
    """Index coordinates of level 0 as index coordinates of the grid coarsened by `factors`.

    A coarse sample covers whole fine ones, so edges map to edges: ``-0.5`` stays ``-0.5``.
    """
    return np.asarray((np.asarray(points, float) + 0.5) / np.asarray(factors, float) - 0.5, float)


@dataclass(frozen=True)
class Grid:
    """Where the samples of an image are in the world.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    affine : tuple of tuples of float
        ``(ndim + 1, ndim + 1)`` matrix from homogeneous index ``(z, y, x, 1)`` to homogeneous
        world ``(x, y, z, 1)``; an integer index is a sample's centre.
    space : str
        `LPS`, `PIXELS`, or a coordinate reference system as ``EPSG:n`` or WKT.
    """

    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    space: str = PIXELS

    @classmethod
    def of(cls, shape: Sequence[int], affine: ArrayLike | None = None, space: str = PIXELS) -> Grid:
        """A grid from anything array-like.

        Parameters
        ----------
        shape : sequence of int
            ``(y, x)`` or ``(z, y, x)``.
        affine : array-like, shape (ndim + 1, ndim + 1), optional
            As in `Grid`; without it, world is ``(x, y[, z])`` in samples.
        space : str
            As in `Grid`.

        Raises
        ------
        ValueError
            If the affine has another shape.
        """
        n = len(shape)
        matrix = np.eye(n + 1)[[*range(n)[::-1], n]] if affine is None else np.asarray(affine, float)
        if matrix.shape != (n + 1, n + 1):
            raise ValueError(f"affine has shape {matrix.shape}, a {n}-dimensional grid needs {(n + 1, n + 1)}")
        return cls(tuple(int(s) for s in shape), tuple(map(tuple, matrix.tolist())), space)

    @property
    def ndim(self) -> int:
        """Number of axes: 2 or 3."""
        return len(self.shape)

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window.of(self.shape)

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """`affine` as an array."""
        return np.array(self.affine)

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self.matrix), float)

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring samples along each array axis, in the world's units."""
        return tuple(float(s) for s in np.linalg.norm(self.matrix[:-1, :-1], axis=0))

    @property
    def sample_size(self) -> float:
        """Area or volume of one sample in the world's units."""
        return float(abs(np.linalg.det(self.matrix[:-1, :-1])))

    def to_world(self, points: ArrayLike) -> NDArray[np.float64]:
        """World coordinates ``(..., ndim)``, ``(x, y[, z])``, of index coordinates ``(..., ndim)``, ``([z, ]y, x)``."""
        return _transform(self.matrix, points)

    def to_index(self, points: ArrayLike) -> NDArray[np.float64]:
        """Index coordinates ``(..., ndim)``, ``([z, ]y, x)``, of world coordinates ``(..., ndim)``, ``(x, y[, z])``."""
        return _transform(self._inverse, points)

    def __getitem__(self, window: Window) -> Grid:
        """The grid of the samples in `window`."""
        matrix = self.matrix.copy()
        matrix[:-1, -1] = self.to_world(window.start)
        return Grid.of(window.shape, matrix, self.space)

    def coarsen(self, factors: Sequence[int]) -> Grid:
        """The grid whose samples cover ``factors`` samples of this one; the last ones may reach beyond it."""
        scale = np.diag([*map(float, factors), 1.0])
        scale[:-1, -1] = (np.asarray(factors, float) - 1) / 2
        shape = [-(-n // f) for n, f in zip(self.shape, factors, strict=True)]
        return Grid.of(shape, self.matrix @ scale, self.space)


def _transform(matrix: NDArray[np.float64], points: ArrayLike) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = np.asarray(points, float) @ matrix[:-1, :-1].T + matrix[:-1, -1]
    return moved


@dataclass(frozen=True)
class Tile:
    """A unit of work: it owns its core and sees its outer window.

    ::

        overlap = 4, size = 10            |<-- core 0 -->|<- core 1 ->|<--- core 2 --->|
                                outer 0   [===================]
                                outer 1              [===================]
                                outer 2                   [===================]   shifted inward
    """

    index: tuple[int, ...]
    core: Window
    outer: Window


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Starts of the windows of `size` that cover `length`; the last one shifts inward."""
    if length <= size:
        return [0]
    stride = size - overlap
    return [*range(0, length - size, stride), length - size]


def tiles(shape: Sequence[int], size: int | Sequence[int], overlap: int | Sequence[int]) -> Iterator[Tile]:
    """Tiles over an array of `shape`, row by row; their cores partition it.

    Parameters
    ----------
    shape : sequence of int
    size : int or sequence of int
        Length of the outer windows along each axis; shorter only where the array is.
    overlap : int or sequence of int
        What neighbouring outer windows share (at least), below `size`.
    """
    sizes = (size,) * len(shape) if isinstance(size, int) else tuple(size)
    overlaps = (overlap,) * len(shape) if isinstance(overlap, int) else tuple(overlap)
    axes = [_axis_tiles(n, s, o) for n, s, o in zip(shape, sizes, overlaps, strict=True)]
    for index in itertools.product(*(range(len(axis)) for axis in axes)):
        chosen = [axis[i] for axis, i in zip(axes, index, strict=True)]
        core = Window.between([c[0] for c in chosen], [c[1] for c in chosen])
        outer = Window.between([c[2] for c in chosen], [c[3] for c in chosen])
        yield Tile(index, core, outer)


def _axis_tiles(length: int, size: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Per tile of one axis: start and stop of its core, start and stop of its outer window."""
    firsts = starts(length, size, overlap)
    stops = [min(a + size, length) for a in firsts]
    cuts = [0, *((b + a) // 2 for a, b in zip(firsts[1:], stops[:-1], strict=True)), length]
    return list(zip(cuts[:-1], cuts[1:], firsts, stops, strict=True))
