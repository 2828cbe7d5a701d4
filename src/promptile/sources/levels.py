"""Levels: coarser looks at an image, as exact block means of what the file holds.

A sample of level ``f`` covers exactly ``f`` samples of level 0; the last one covers what is left::

    level 0     |  0  |  1  |  2  |  3  |  4  |  5  |  6  |
    factor 3    |        0        |        1        |  2  |     <- partial: the mean of one sample

Where a file holds overviews, means are taken over those instead of over level 0. An overview of ``n`` samples
made from ``N`` has samples of ``N / n``, which is not a whole number when ``N`` is not a multiple (1.98 for 101
samples in 51). Such samples are weighted by how much of each lies in the coarse sample, so nothing drifts.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from promptile.grid import Window

Samples = NDArray[Any]
Valid = NDArray[np.bool_]

FINEST_ENOUGH = {1: 512, 2: 256, 3: 64}
"""Per number of dimensions: levels are made until the largest side is no longer than this."""

_PIECE = 2**22  # samples per channel that are read at once for a coarser level
_SLIVER = 1e-6  # a share of a sample too small to be more than rounding


class Resolution(ABC):
    """One resolution that a file really holds; level 0 is one, each overview is another.

    Parameters
    ----------
    shape : tuple of int
    ratio : tuple of float
        How many samples of level 0 one sample covers along each axis.
    block : tuple of int
        What the file is best read in multiples of.
    """

    def __init__(self, shape: Sequence[int], ratio: Sequence[float], block: Sequence[int]) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.ratio = tuple(float(r) for r in ratio)
        self.block = tuple(min(int(b), n) for b, n in zip(block, self.shape, strict=True))

    @abstractmethod
    def samples(self, window: Window, channels: Sequence[int]) -> Samples:
        """``(c, *window.shape)``: the samples as the file has them."""

    def mask(self, window: Window) -> Valid | None:
        """``window.shape``: what the file's own mask or alpha says; None where it has none."""
        return None


def ladder(shape: Sequence[int], spacing: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Factors of all levels, powers of two per axis, until the image is small.

    Rasters are coarsened along both axes. In volumes the finest axes go first, so that spacing evens out:
    slices 5 mm apart stay while 1 mm samples in the slices become 2 mm and 4 mm.
    """
    enough = FINEST_ENOUGH[len(shape)]
    factors = (1,) * len(shape)
    levels = [factors]
    while max(-(-n // f) for n, f in zip(shape, factors, strict=True)) > enough:
        factors = _coarser(shape, spacing, factors)
        levels.append(factors)
    return tuple(levels)


def _coarser(shape: Sequence[int], spacing: Sequence[float], factors: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) < 3:
        return tuple(2 * f for f in factors)
    long = [n > f for n, f in zip(shape, factors, strict=True)]
    now = [s * f for s, f in zip(spacing, factors, strict=True)]
    finest = min(s for s, is_long in zip(now, long, strict=True) if is_long)
    fine = [is_long and s < finest * math.sqrt(2) * (1 + 1e-9) for s, is_long in zip(now, long, strict=True)]
    return tuple(2 * f if more else f for f, more in zip(factors, fine, strict=True))


def pieces(window: Window, factors: Sequence[int], resolution: Resolution) -> Iterator[Window]:
    """Parts of a coarse window that are cheap to read: whole blocks of the file, a bounded number of samples.

    They are cut where those of windows that share half with this one are cut, too.
    """
    per_sample = [f / r for f, r in zip(factors, resolution.ratio, strict=True)]
    size = [max(round(b / p), 1) for b, p in zip(resolution.block, per_sample, strict=True)]
    while True:
        fine = [s * p for s, p in zip(size, per_sample, strict=True)]
        growing = [i for i in range(len(size)) if 2 * size[i] < window.shape[i]]  # half of it others see, too
        if not growing or 2 * math.prod(fine) > _PIECE:
            break
        size[min(growing, key=lambda i: fine[i])] *= 2
    cuts = []
    for a, b, s in zip(window.start, window.stop, size, strict=True):
        cuts.append(list(itertools.pairwise([a, *range(a - a % s + s, b, s), b])))
    for spans in itertools.product(*cuts):
        yield Window.between([a for a, _ in spans], [b for _, b in spans])


class Means:
    """Which fine samples of one resolution lie in the coarse samples of a window, and how much of each.

    Parameters
    ----------
    coarse : Window
        In samples of the level with `factors`.
    """

    def __init__(self, coarse: Window, factors: Sequence[int], resolution: Resolution) -> None:
        scale = [f / r for f, r in zip(factors, resolution.ratio, strict=True)]
        low = [math.floor(a * s + _SLIVER) for a, s in zip(coarse.start, scale, strict=True)]
        high = [math.ceil(b * s - _SLIVER) for b, s in zip(coarse.stop, scale, strict=True)]
        high = [max(min(b, n), a + 1) for a, b, n in zip(low, high, resolution.shape, strict=True)]
        self.fine = Window.between(low, high)
        self._weights = [
            _overlaps(a, n, s, first, stop)
            for a, n, s, first, stop in zip(coarse.start, coarse.shape, scale, low, high, strict=True)
        ]

    def sums(self, fine: NDArray[Any]) -> NDArray[np.float64]:
        """Weighted sums of one channel: fine shape in, coarse shape out."""
        out = np.asarray(fine, np.float64)
        for axis, weights in enumerate(self._weights):
            front = np.moveaxis(out, axis, 0)
            summed = weights @ np.ascontiguousarray(front).reshape(front.shape[0], -1)
            out = np.moveaxis(summed.reshape(-1, *front.shape[1:]), 0, axis)
        return out

    def means(self, fine: Samples, valid: Valid, empty: float) -> Samples:
        """Means of the valid samples of one channel; `empty` where there is none. Integers are rounded."""
        if valid.all():
            shares = self._full
            totals = self.sums(fine)
        else:
            shares = self.sums(valid.astype(np.float64))
            totals = self.sums(np.where(valid, fine, 0))
        some = shares > _SLIVER
        mean = np.divide(totals, shares, out=np.zeros_like(totals), where=some)
        if np.issubdtype(fine.dtype, np.integer):
            mean = np.rint(mean)
        out = mean.astype(fine.dtype)
        out[~some] = empty
        return out

    def any(self, valid: Valid) -> Valid:
        """Which coarse samples cover at least one valid fine one."""
        if valid.all():
            return np.ones([w.shape[0] for w in self._weights], bool)
        some: Valid = self.sums(valid.astype(np.float64)) > _SLIVER
        return some

    @property
    def _full(self) -> NDArray[np.float64]:
        """The weights of coarse samples all of whose fine ones are valid."""
        out = np.ones(())
        for weights in self._weights:
            out = np.multiply.outer(out, np.asarray(weights.sum(axis=1)).ravel())
        return out


def _overlaps(start: int, count: int, scale: float, first: int, stop: int) -> sparse.csr_array:
    """``(count, stop - first)``: how much of each fine sample lies in each coarse one, along one axis."""
    edges = (start + np.arange(count + 1)) * scale
    rounded = np.rint(edges)
    edges = np.where(np.abs(edges - rounded) < _SLIVER, rounded, edges)
    low, high = edges[:-1], np.minimum(edges[1:], stop)
    begin = np.floor(low).astype(int)
    many = np.ceil(high).astype(int) - begin
    rows = np.repeat(np.arange(count), many)
    offsets = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    columns = np.repeat(begin, many) + offsets
    share = np.minimum(columns + 1, high[rows]) - np.maximum(columns, low[rows])
    return sparse.csr_array((share, (rows, columns - first)), shape=(count, stop - first))
