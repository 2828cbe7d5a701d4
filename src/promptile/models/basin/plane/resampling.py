"""Resampling: each place is a weighted mean of the few samples around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

BELL = 4.0
"""Standard deviations beyond which a Gaussian is nothing."""


@dataclass(frozen=True, eq=False)
class Taps:
    """What each of n places along an axis is made of."""

    first: NDArray[np.int64]
    """``(n,)``: the first of the samples that count."""
    weights: NDArray[np.float32]
    """``(n, k)``: of that one and those that follow; their sum is 1."""

    @classmethod
    def tents(cls, places: NDArray[np.float64], count: int, width: float) -> Taps:
        """Linear interpolation between `count` samples, widened to an average where it shrinks.

        Parameters
        ----------
        places : ndarray, shape (n,)
            In index coordinates of the samples; beyond the ends an end counts.
        width : float
            Half the base of a tent, in samples.
        """
        inside = np.clip(places, 0, count - 1)
        length = min(int(np.ceil(2 * width)), count)
        first = np.clip(np.floor(inside - width).astype(np.int64) + 1, 0, count - length)
        index = first[:, None] + np.arange(length)
        weights = np.maximum(0, 1 - np.abs(inside[:, None] - index) / width)
        return cls(first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def gathered(
    samples: NDArray[np.float32], valid: NDArray[np.bool_] | None, corner: tuple[int, int], axes: tuple[Taps, Taps]
) -> NDArray[np.float32]:
    """``(c, n, m)``: means of samples ``(c, y, x)`` from a corner on; what is not `valid` ``(y, x)`` counts as 0."""
    down, right = axes
    every = np.empty((1, 1), np.bool_) if valid is None else valid
    found: NDArray[np.float32] = _gathered(
        samples, every, valid is None, corner, down.first, down.weights, right.first, right.weights
    )
    return found


def spread(cells: NDArray[np.float32], axes: tuple[Taps, Taps]) -> NDArray[np.float32]:
    """``(n, m)``: means of cells ``(y, x)``."""
    down, right = axes
    found: NDArray[np.float32] = _spread(cells, down.first, down.weights, right.first, right.weights)
    return found


def blurred(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Values ``(..., y, x)``, each the Gaussian mean of those around it; beyond the ends an end counts."""
    reach = round(BELL * sigma)
    bell = np.exp(-np.square(np.arange(-reach, reach + 1) / sigma) / 2)
    stack = np.ascontiguousarray(values, np.float32).reshape(-1, *values.shape[-2:])
    found: NDArray[np.float32] = _blurred(stack, (bell / bell.sum()).astype(np.float32))
    return found.reshape(values.shape)


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 2 × 2 of the last two axes; an odd last line counts by itself."""
    height, width = values.shape[-2:]
    stack = values.reshape(-1, height, width)
    found: NDArray[np.float32] = _halved(stack)
    return found.reshape(*values.shape[:-2], *found.shape[1:])


def read(values: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
    """``(c, *y.shape)``: values ``(c, y, x)`` at places between them; beyond the ends an end counts."""
    found: NDArray[np.float32] = _read(values, y.ravel(), x.ravel())
    return found.reshape(len(values), *y.shape)


@numba.njit(cache=True, nogil=True)
def _gathered(samples: Any, valid: Any, whole: bool, corner: Any, top: Any, down: Any, left: Any, right: Any) -> Any:
    """Rows first: what is left of them is short."""
    length = left.max() + right.shape[1]
    line = np.empty(length, np.float32)
    found = np.empty((len(samples), len(top), len(left)), np.float32)
    for c in range(len(samples)):
        for i in range(len(top)):
            line[:] = 0
            for a in range(down.shape[1]):
                weight, y = down[i, a], corner[0] + top[i] + a
                if weight == 0:
                    continue
                row = samples[c, y, corner[1] : corner[1] + length]
                if whole:
                    for x in range(length):
                        line[x] += weight * row[x]
                else:
                    there = valid[y, corner[1] : corner[1] + length]
                    for x in range(length):
                        line[x] += weight * row[x] if there[x] else np.float32(0)
            _along(line, left, right, found[c, i])
    return found


@numba.njit(cache=True, nogil=True)
def _spread(cells: Any, top: Any, down: Any, left: Any, right: Any) -> Any:
    """Columns first: there are few rows yet."""
    wide = np.empty((len(cells), len(left)), np.float32)
    for i in range(len(cells)):
        _along(cells[i], left, right, wide[i])
    found = np.zeros((len(top), len(left)), np.float32)
    for i in range(len(top)):
        row = found[i]
        for a in range(down.shape[1]):
            weight, line = down[i, a], wide[top[i] + a]
            if weight == 0:
                continue
            for x in range(len(row)):
                row[x] += weight * line[x]
    return found


@numba.njit(cache=True, nogil=True)
def _along(line: Any, left: Any, right: Any, out: Any) -> None:
    for j in range(len(left)):
        total = np.float32(0)
        for b in range(right.shape[1]):
            total += right[j, b] * line[left[j] + b]
        out[j] = total


@numba.njit(cache=True, fastmath=True, nogil=True)
def _blurred(values: Any, bell: Any) -> Any:
    count, height, width = values.shape
    reach = len(bell) // 2
    line = np.empty(width + 2 * reach, np.float32)
    found = np.zeros(values.shape, np.float32)
    for c in range(count):
        for i in range(height):
            line[:] = 0
            for a in range(len(bell)):
                row = values[c, min(max(i + a - reach, 0), height - 1)]
                _add(line[reach : reach + width], row, bell[a])
            line[:reach], line[reach + width :] = line[reach], line[reach + width - 1]
            for a in range(len(bell)):
                _add(found[c, i], line[a : a + width], bell[a])
    return found


@numba.njit(cache=True, fastmath=True, nogil=True)
def _add(line: Any, more: Any, weight: Any) -> None:
    for x in range(len(line)):
        line[x] += weight * more[x]


@numba.njit(cache=True, nogil=True)
def _halved(values: Any) -> Any:
    count, height, width = values.shape
    found = np.empty((count, (height + 1) // 2, (width + 1) // 2), np.float32)
    for c in range(count):
        for i in range(found.shape[1]):
            one, other, row = values[c, 2 * i], values[c, min(2 * i + 1, height - 1)], found[c, i]
            for j in range(width // 2):
                both = (one[2 * j] + other[2 * j]) + (one[2 * j + 1] + other[2 * j + 1])
                row[j] = np.float32(0.25) * both
            if width % 2:
                row[-1] = np.float32(0.5) * (one[-1] + other[-1])
    return found


@numba.njit(cache=True, nogil=True)
def _read(values: Any, y: Any, x: Any) -> Any:
    count, height, width = values.shape
    found = np.empty((count, len(y)), np.float32)
    for i in range(len(y)):
        down, right = min(max(y[i], 0.0), height - 1.0), min(max(x[i], 0.0), width - 1.0)
        top, left = int(down), int(right)
        below, beside = min(top + 1, height - 1), min(left + 1, width - 1)
        down, right = np.float32(down - top), np.float32(right - left)
        for c in range(count):
            upper = values[c, top, left] * (1 - right) + values[c, top, beside] * right
            lower = values[c, below, left] * (1 - right) + values[c, below, beside] * right
            found[c, i] = upper * (1 - down) + lower * down
    return found
