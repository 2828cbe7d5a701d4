"""What is counted over one guess: all of it in one go over the cells in and near the guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.solid.scene import SMOOTH_BINS, TONE_BINS, Scene
from promptile.models.basin.solid.workgrid import Field, Mask

RING_CELLS = 3
"""Width of the ring outside a guess that its tones are compared with."""
_OURS, _RING = 0, 1
_COUNT, _SUM, _SQUARES = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over the cells of one guess, over those around it, and over pairs of neighbours."""

    bins: NDArray[np.float64]
    """``(3, TONE_BINS * SMOOTH_BINS)``: cells per bin of the guess, of the ring around it, and of what of the guess is
    allowed."""
    tones: NDArray[np.float64]
    """``(2, 3)``: of the guess and of the ring the number of cells, the sum of their tones and that of the squares."""
    rims: NDArray[np.float64]
    """``(2, 2)``: of the surface, and two cells outside of it, the number of cells and their steepness."""
    cut: NDArray[np.float64]
    """``(3, 3)``: per axis the pairs that the surface divides, their contrast, and those on the border of what is
    allowed."""
    within: NDArray[np.float64]
    """``(2,)``: the pairs inside and their contrast."""

    @classmethod
    def of(cls, scene: Scene, guess: Mask) -> Tally:
        low, high = _bounds(guess)
        first = np.maximum(low - RING_CELLS, 0)
        last = np.minimum(high + RING_CELLS, guess.shape)
        near = tuple(slice(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True))
        far = _steps(np.ascontiguousarray(guess[near]))
        bins, tones, rims = _over_cells(
            far, first, (scene.valid, scene.allowed, scene.tone, scene.steepness, scene.bins), TONE_BINS * SMOOTH_BINS
        )
        cut, within = _over_pairs(far, first, scene.allowed, scene.contrast)
        return cls(bins, tones, rims, cut, within)


@numba.njit(cache=True, nogil=True)
def _bounds(mask: Any) -> Any:
    """The first cell of a mask along each axis, and the one after the last."""
    low, high = np.array(mask.shape), np.zeros(3, np.int64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            row = mask[z, y]
            first, last = 0, len(row)
            while first < last and not row[first]:
                first += 1
            if first == last:
                continue
            while not row[last - 1]:
                last -= 1
            low[0], low[1], low[2] = min(low[0], z), min(low[1], y), min(low[2], first)
            high[0], high[1], high[2] = z + 1, max(high[1], y + 1), max(high[2], last)
    return np.minimum(low, high), high


@numba.njit(cache=True, nogil=True)
def _steps(mask: Any) -> Any:
    """``mask.shape``: steps across faces from each cell to the mask, or one more than `RING_CELLS`."""
    depth, height, width = mask.shape
    far = np.empty(mask.shape, np.uint8)
    for z in range(depth):
        for y in range(height):
            row, held = far[z, y], mask[z, y]
            for x in range(width):
                row[x] = 0 if held[x] else RING_CELLS + 1
            if z > 0:
                _nearer(row, far[z - 1, y])
            if y > 0:
                _nearer(row, far[z, y - 1])
            for x in range(1, width):
                row[x] = min(row[x], row[x - 1] + 1)
    for z in range(depth - 1, -1, -1):
        for y in range(height - 1, -1, -1):
            row = far[z, y]
            if z < depth - 1:
                _nearer(row, far[z + 1, y])
            if y < height - 1:
                _nearer(row, far[z, y + 1])
            for x in range(width - 2, -1, -1):
                row[x] = min(row[x], row[x + 1] + 1)
    return far


@numba.njit(cache=True, nogil=True)
def _nearer(row: Any, beside: Any) -> None:
    for x in range(len(row)):
        row[x] = min(row[x], np.uint8(beside[x] + 1))


def depths(mask: Mask, spacing: Sequence[float]) -> Field:
    """Distance from each cell to the outside of a small mask, which the array's border is, too."""
    squares = np.where(mask, np.float32(np.inf), np.float32(0))
    for axis, step in enumerate(spacing):
        _lower(squares.swapaxes(axis, 2), np.float32(step))
    distances: Field = np.sqrt(squares)
    return distances


@numba.njit(cache=True, nogil=True)
def _lower(squares: Any, step: Any) -> None:
    """Squared distances, in place, that may also lead along the last axis."""
    depth, height, width = squares.shape
    line = np.zeros(width + 2, np.float32)
    for z in range(depth):
        for y in range(height):
            line[1:-1] = squares[z, y]
            for x in range(width):
                best, away = line[x + 1], 1
                while (away * step) ** 2 < best:  # never beyond the border, where the line is 0
                    beside = min(line[x + 1 - away], line[x + 1 + away])
                    best = min(best, beside + (away * step) ** 2)
                    away += 1
                squares[z, y, x] = best


@numba.njit(cache=True, nogil=True)
def _over_cells(far: Any, first: Any, seen: Any, count: int) -> Any:
    valid, allowed, tone, steepness, bins = seen
    depth, height, width = far.shape
    counts, tones, rims = np.zeros((3, count)), np.zeros((2, 3)), np.zeros((2, 2))
    for z in range(depth):
        for y in range(height):
            i, j, k0 = first[0] + z, first[1] + y, first[2]
            for x in range(width):
                step, k = far[z, y, x], k0 + x
                if step > RING_CELLS:
                    continue
                if step <= 1 and (step == 1 or _open(far, z, y, x)):
                    rims[0, 0] += 1
                    rims[0, 1] += steepness[i, j, k]
                if step == 2:
                    rims[1, 0] += 1
                    rims[1, 1] += steepness[i, j, k]
                side = _OURS if step == 0 else _RING
                if side == _RING and not valid[i, j, k]:
                    continue
                value = np.float64(tone[i, j, k])
                counts[side, bins[i, j, k]] += 1
                tones[side, _COUNT] += 1
                tones[side, _SUM] += value
                tones[side, _SQUARES] += value * value
                if side == _OURS and allowed[i, j, k]:
                    counts[2, bins[i, j, k]] += 1
    return counts, tones, rims


@numba.njit(cache=True, nogil=True)
def _open(far: Any, z: int, y: int, x: int) -> bool:
    """Whether a cell has a neighbour outside of the guess."""
    depth, height, width = far.shape
    return bool(
        (x > 0 and far[z, y, x - 1] > 0)
        or (x < width - 1 and far[z, y, x + 1] > 0)
        or (y > 0 and far[z, y - 1, x] > 0)
        or (y < height - 1 and far[z, y + 1, x] > 0)
        or (z > 0 and far[z - 1, y, x] > 0)
        or (z < depth - 1 and far[z + 1, y, x] > 0)
    )


@numba.njit(cache=True, nogil=True)
def _over_pairs(far: Any, first: Any, allowed: Any, contrast: Any) -> Any:
    depth, height, width = far.shape
    cut, within = np.zeros((3, 3)), np.zeros(2)
    for axis in range(3):
        dz, dy, dx = int(axis == 0), int(axis == 1), int(axis == 2)
        for z in range(depth - dz):
            for y in range(height - dy):
                i, j = first[0] + z, first[1] + y
                for x in range(width - dx):
                    here, there = far[z, y, x] == 0, far[z + dz, y + dy, x + dx] == 0
                    if not (here or there):
                        continue
                    k = first[2] + x
                    if here and there:
                        within[0] += 1
                        within[1] += contrast[axis, i, j, k]
                        continue
                    cut[axis, 0] += 1
                    cut[axis, 1] += contrast[axis, i, j, k]
                    if not (allowed[i, j, k] and allowed[i + dz, j + dy, k + dx]):
                        cut[axis, 2] += 1
    return cut, within
