"""The one optimiser of `basin`: a membrane over the samples, held by what is known and torn along edges."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

OVERSHOOT = 1.6
"""Over-relaxation: with it a dozen sweeps carry a seed some tens of samples far."""
FIXED = np.float32(1e6)
"""A hold from which on a sample is what it should be."""
NEAR = 32
"""Places between two runs up to which they are done as one."""
AT_ONCE = 2048
"""Places that stay in the nearest cache while they are looked at a few times."""


def relax(
    start: NDArray[np.float32],
    target: NDArray[np.float32],
    hold: NDArray[np.float32],
    links: NDArray[np.float32],
    sweeps: int,
) -> NDArray[np.float32]:
    """Minimise ``sum(links * (x_i - x_j)**2) + sum(hold * (x - target)**2)`` by red-black over-relaxation.

    Parameters
    ----------
    start, target, hold : ndarray, shape (z, y, x) or (y, x)
        Where to begin; what each sample should be, 0 to 1; how much that weighs, up to `FIXED`.
    links : ndarray, shape (ndim, *shape)
        Along each axis the link between a sample and the next one; the last ones are not read.
    sweeps : int
        How many times each sample is updated.

    Returns
    -------
    ndarray, shape of `start`
        The membrane, 0 to 1.
    """
    flat = start.ndim == 2
    x = np.where(hold < FIXED, start, target).astype(np.float32, copy=False)
    shape = (1, *x.shape) if flat else x.shape
    volume, along = x.reshape(shape), links.reshape(len(links), *shape)
    _sweep(volume, target.reshape(shape), hold.reshape(shape), along, sweeps)
    return volume[0] if flat else volume


@numba.njit(cache=True, nogil=True)
def _sweep(x: Any, target: Any, hold: Any, links: Any, sweeps: int) -> None:
    """In place. Meanwhile reds and blacks lie apart, in long lines of which much is updated at once.

    ::

        a row of samples    r b r b r b r        the next one    b r b r b r b
        places in a line    0 0 1 1 2 2 3                        0 0 1 1 2 2 3

    A neighbour has the same place in the other line, one place before or after, a row or a plane before or after.
    """
    depth, height, width = x.shape
    half = (width + 1) // 2
    spans = _free(hold)
    margin = half * (height if len(links) == 3 else 1) + 1
    lines = np.zeros((2, depth * height * half + 2 * margin), np.float32)
    pulls = np.zeros((2, 2 + 2 * len(links), depth * height * half), np.float32)
    scale = np.empty(width, np.float32)
    for i in range(depth):
        for j in range(height):
            if spans[i, j, 0] < spans[i, j, 1]:
                _weigh(scale, hold, links, i, j)
            for colour in range(2):
                side, first = (i + j + colour) % 2, (i * height + j) * half
                _lay(lines[colour, margin + first :], pulls[colour, 0, first:], x[i, j, side:])
                a, b = _places(spans[i, j], side)
                if a < b:
                    _pull(pulls[colour], (first + a, first + b), (target, hold, links), scale, (i, j, side + 2 * a))
    runs = _runs(spans, half)
    for turn in range(2 * sweeps):
        ours, others, pull = lines[turn % 2], lines[1 - turn % 2], pulls[turn % 2]
        for r in range(len(runs)):
            _update(ours, others, pull, (runs[r, 0], runs[r, 1]), (half, half * height))
    for i in range(depth):
        for j in range(height):
            for colour in range(2):
                side, first = (i + j + colour) % 2, margin + (i * height + j) * half
                a, b = _places(spans[i, j], side)
                for m in range(a, b):
                    x[i, j, side + 2 * m] = lines[colour, first + m]


@numba.njit(cache=True, nogil=True)
def _free(hold: Any) -> Any:
    """``(z, y, 2)``: of each row the first sample that is not fixed, and the one after the last."""
    depth, height, width = hold.shape
    spans = np.zeros((depth, height, 2), np.int64)
    for i in range(depth):
        for j in range(height):
            first, last = 0, width
            while first < last and hold[i, j, first] >= FIXED:
                first += 1
            while last > first and hold[i, j, last - 1] >= FIXED:
                last -= 1
            spans[i, j, 0], spans[i, j, 1] = first, last
    return spans


@numba.njit(cache=True, nogil=True)
def _places(span: Any, side: int) -> Any:
    """Of the samples of one colour in a span: the first one's place in its row, and the one after the last."""
    return (span[0] - side + 1) // 2, (span[1] - side + 1) // 2


@numba.njit(cache=True, nogil=True)
def _runs(spans: Any, half: int) -> Any:
    """``(n, 2)``: parts of a line that hold all that is free, of either colour; those that are near are one."""
    depth, height, _ = spans.shape
    runs = np.empty((depth * height, 2), np.int64)
    count = 0
    for i in range(depth):
        for j in range(height):
            if spans[i, j, 0] == spans[i, j, 1]:
                continue
            first = (i * height + j) * half
            start, stop = first + spans[i, j, 0] // 2, first + (spans[i, j, 1] + 1) // 2
            if count > 0 and start - runs[count - 1, 1] < NEAR:
                runs[count - 1, 1] = stop
                continue
            runs[count, 0], runs[count, 1] = start, stop
            count += 1
    return runs[:count]


@numba.njit(cache=True, nogil=True)
def _lay(line: Any, stay: Any, row: Any) -> None:
    """Every second sample of a row into a line, and what makes it stay as it is."""
    for m in range((len(row) + 1) // 2):
        line[m] = row[2 * m]
        stay[m] = np.float32(OVERSHOOT) * row[2 * m]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _weigh(scale: Any, hold: Any, links: Any, i: int, j: int) -> None:
    """Of the samples of a row, one over all that pulls at them, times the overshoot."""
    axes, depth, height, width = links.shape
    scale[:] = hold[i, j]
    _add(scale[:-1], links[axes - 1, i, j])
    _add(scale[1:], links[axes - 1, i, j])
    if j > 0:
        _add(scale, links[axes - 2, i, j - 1])
    if j < height - 1:
        _add(scale, links[axes - 2, i, j])
    if axes == 3 and i > 0:
        _add(scale, links[0, i - 1, j])
    if axes == 3 and i < depth - 1:
        _add(scale, links[0, i, j])
    for k in range(width):
        scale[k] = np.float32(OVERSHOOT) / (scale[k] + np.float32(1e-12))


@numba.njit(cache=True, fastmath=True, nogil=True)
def _add(line: Any, more: Any) -> None:
    for k in range(len(line)):
        line[k] += more[k]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _pull(pull: Any, part: Any, about: Any, scale: Any, at: Any) -> None:
    """What counts in the next values of a part of a line, whose first place is a sample.

    The target, the neighbours at the same place, before, after, above, below, in front and behind.
    """
    target, hold, links = about
    i, j, k = at
    axes, depth, height, width = links.shape
    first, last = part
    across, scaled = links[axes - 1, i, j], scale[k:]
    own, wanted, told = hold[i, j, k:], target[i, j, k:], pull[0, first:last]
    for m in range(len(told)):
        told[m] = own[2 * m] * wanted[2 * m] * scaled[2 * m]
    to_left, to_right = (1, 3) if k % 2 == 1 else (2, 1)
    skipped = 1 if k == 0 else 0  # it has nothing on its left
    _times(pull[to_left, first + skipped : last], across[k - 1 + 2 * skipped :], scaled[2 * skipped :])
    _times(pull[to_right, first : min(last, first + (width - k) // 2)], across[k:], scaled)
    if j > 0:
        _times(pull[4, first:last], links[axes - 2, i, j - 1, k:], scaled)
    if j < height - 1:
        _times(pull[5, first:last], links[axes - 2, i, j, k:], scaled)
    if axes == 3 and i > 0:
        _times(pull[6, first:last], links[0, i - 1, j, k:], scaled)
    if axes == 3 and i < depth - 1:
        _times(pull[7, first:last], links[0, i, j, k:], scaled)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _times(out: Any, link: Any, scale: Any) -> None:
    for m in range(len(out)):
        out[m] = link[2 * m] * scale[2 * m]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _update(ours: Any, others: Any, pull: Any, run: Any, steps: Any) -> None:
    """The next values of one colour in a run, some at a time, and of these first some neighbours, then the others."""
    margin = (len(ours) - pull.shape[1]) // 2
    row, plane = steps
    for start in range(run[0], run[1], AT_ONCE):
        stop = min(start + AT_ONCE, run[1])
        a, b = margin + start, margin + stop
        here, beside, told, same = ours[a:b], others[a:b], pull[0, start:stop], pull[1, start:stop]
        for m in range(len(here)):
            here[m] = np.float32(1 - OVERSHOOT) * here[m] + told[m] + same[m] * beside[m]
        _draw(here, others[a - 1 : b - 1], pull[2, start:stop], others[a + 1 : b + 1], pull[3, start:stop])
        _draw(here, others[a - row : b - row], pull[4, start:stop], others[a + row : b + row], pull[5, start:stop])
        if len(pull) == 8:
            one, other = others[a - plane : b - plane], others[a + plane : b + plane]
            _draw(here, one, pull[6, start:stop], other, pull[7, start:stop])


@numba.njit(cache=True, fastmath=True, nogil=True)
def _draw(here: Any, one: Any, to_one: Any, other: Any, to_other: Any) -> None:
    for m in range(len(here)):
        here[m] += to_one[m] * one[m] + to_other[m] * other[m]
