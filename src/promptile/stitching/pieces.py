"""Labels as runs along rows, and runs as connected pieces: what matching counts with, instead of pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Runs(NamedTuple):
    """The ``n`` runs of equal labels above 0 along the rows of ``(z, y, x)`` labels, in row-major order."""

    starts: NDArray[np.int32]
    """``(n,)``: x of the first sample."""
    stops: NDArray[np.int32]
    """``(n,)``: x after the last sample."""
    labels: NDArray[np.int32]
    """``(n,)``"""
    rows: NDArray[np.int64]
    """``(z * y + 1,)``: the runs of row ``r`` are ``rows[r]`` up to ``rows[r + 1]``."""
    height: int
    """Number of rows in each plane of z."""


class Pieces(NamedTuple):
    """Connected pieces (8 or 26 neighbours) of labels."""

    of_runs: NDArray[np.int64]
    """``(runs,)``: piece of each run, 0 .. p - 1."""
    labels: NDArray[np.int32]
    """``(p,)``: the label that a piece is of."""
    counts: NDArray[np.int64]
    """``(p,)``: samples."""
    touching: NDArray[np.int32]
    """``(k, 2)``: pairs of different labels that are neighbours somewhere, the smaller first, each pair once."""


def find_runs(labels: NDArray[Any]) -> Runs:
    """The runs of ``(z, y, x)`` labels."""
    rows = np.zeros(labels.shape[0] * labels.shape[1] + 1, np.int64)
    _count_runs(labels, rows)
    np.cumsum(rows, out=rows)
    starts, stops, values = np.empty((3, rows[-1]), np.int32)
    _fill_runs(labels, rows, starts, stops, values)
    return Runs(starts, stops, values, rows, labels.shape[1])


def find_pieces(runs: Runs) -> Pieces:
    """Join runs of one label that are neighbours, and list the labels that touch."""
    parents = np.arange(len(runs.starts))
    pairs = np.empty(9 * len(runs.starts), np.int64)
    used = _link(runs, parents, pairs)
    count = _flatten(parents)
    labels = np.zeros(count, np.int32)
    labels[parents] = runs.labels
    counts = np.bincount(parents, weights=runs.stops - runs.starts, minlength=count).astype(np.int64)
    packed = np.unique(pairs[:used])
    touching = np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1).astype(np.int32)
    return Pieces(parents, labels, counts, touching)


def count_shared(a: Runs, b: Runs, of_a: NDArray[np.int64], of_b: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many samples each pair of pieces shares: rows ``(piece of a, piece of b, samples)``, sorted.

    Both runs are of arrays of the same shape.
    """
    keys, lengths = np.empty((2, len(a.starts) + len(b.starts)), np.int64)
    used = _meet(a, b, of_a, of_b, keys, lengths)
    order = np.argsort(keys[:used], kind="stable")
    ordered = keys[order]
    heads = np.flatnonzero(np.diff(ordered, prepend=-1))
    sums = np.add.reduceat(lengths[order], heads) if len(heads) else lengths[:0]
    packed = ordered[heads]
    return np.stack([packed >> 32, packed & 0xFFFFFFFF, sums], axis=1)


@njit(cache=True, nogil=True)
def _count_runs(labels: Any, rows: Any) -> None:
    nz, ny, nx = labels.shape
    for row in range(nz * ny):
        line = labels[row // ny, row % ny]
        before = 0
        for x in range(nx):
            value = line[x]
            if value != before:
                before = value
                if value != 0:
                    rows[row + 1] += 1


@njit(cache=True, nogil=True)
def _fill_runs(labels: Any, rows: Any, starts: Any, stops: Any, values: Any) -> None:
    nz, ny, nx = labels.shape
    for row in range(nz * ny):
        line = labels[row // ny, row % ny]
        i = rows[row] - 1
        before = 0
        for x in range(nx):
            value = line[x]
            if value != before:
                if before != 0:
                    stops[i] = x
                if value != 0:
                    i += 1
                    starts[i] = x
                    values[i] = value
                before = value
        if before != 0:
            stops[i] = nx


@njit(cache=True, nogil=True)
def _root(parents: Any, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _link(runs: Any, parents: Any, pairs: Any) -> int:
    """Unite neighbouring runs of one label in `parents`; put pairs of labels that touch into `pairs`."""
    used = 0
    height = runs.height
    for row in range(len(runs.rows) - 1):
        for i in range(runs.rows[row] + 1, runs.rows[row + 1]):
            if runs.stops[i - 1] == runs.starts[i]:
                used = _touch(runs.labels[i - 1], runs.labels[i], pairs, used)
        y = row % height
        if y > 0:
            used = _link_rows(runs, row, row - 1, parents, pairs, used)
        if row >= height:
            for step in range(-1 if y > 0 else 0, 2 if y + 1 < height else 1):
                used = _link_rows(runs, row, row - height + step, parents, pairs, used)
    return used


@njit(cache=True, nogil=True)
def _link_rows(runs: Any, row: int, other: int, parents: Any, pairs: Any, used: int) -> int:
    i, j = runs.rows[row], runs.rows[other]
    i_end, j_end = runs.rows[row + 1], runs.rows[other + 1]
    while i < i_end and j < j_end:
        used = _link_runs(runs, i, j, parents, pairs, used)
        if runs.stops[i] < runs.stops[j]:
            i += 1
        else:
            # Where both stop together, the next run here is a diagonal neighbour of the run that is left behind.
            if runs.stops[i] == runs.stops[j] and i + 1 < i_end:
                used = _link_runs(runs, i + 1, j, parents, pairs, used)
            j += 1
    return used


@njit(cache=True, nogil=True)
def _link_runs(runs: Any, i: int, j: int, parents: Any, pairs: Any, used: int) -> int:
    if runs.starts[i] > runs.stops[j] or runs.starts[j] > runs.stops[i]:
        return used
    if runs.labels[i] != runs.labels[j]:
        return _touch(runs.labels[i], runs.labels[j], pairs, used)
    p, q = _root(parents, i), _root(parents, j)
    parents[max(p, q)] = min(p, q)
    return used


@njit(cache=True, nogil=True)
def _touch(a: int, b: int, pairs: Any, used: int) -> int:
    pair = (np.int64(min(a, b)) << 32) | np.int64(max(a, b))
    if used > 0 and pairs[used - 1] == pair:
        return used
    pairs[used] = pair
    return used + 1


@njit(cache=True, nogil=True)
def _flatten(parents: Any) -> int:
    """Number roots 0, 1, … in place: a root is the smallest of its set, so it comes before its members."""
    count = 0
    for i in range(len(parents)):
        if parents[i] == i:
            parents[i] = count
            count += 1
        else:
            parents[i] = parents[parents[i]]
    return count


@njit(cache=True, nogil=True)
def _meet(a: Any, b: Any, of_a: Any, of_b: Any, keys: Any, lengths: Any) -> int:
    used = 0
    for row in range(len(a.rows) - 1):
        i, j = a.rows[row], b.rows[row]
        while i < a.rows[row + 1] and j < b.rows[row + 1]:
            shared = min(a.stops[i], b.stops[j]) - max(a.starts[i], b.starts[j])
            if shared > 0:
                keys[used] = (of_a[i] << 32) | of_b[j]
                lengths[used] = shared
                used += 1
            if a.stops[i] < b.stops[j]:
                i += 1
            else:
                j += 1
    return used
