"""Corners of outlines along sample edges, and the rings they form: the kernels under `promptile.vectors`.

A lattice point ``(r, c)`` is the upper left corner of sample ``(r, c)``. It is a vertex of a label's outline exactly
where the 2 × 2 samples around it form a corner for that label, so corners are found locally and a straight edge,
however long, costs nothing::

    . .    . X    X X    X .              X X
    . X    . .    X .    . X: two corners  . .: none, the edge runs straight on

Each corner has one horizontal and one vertical edge. Sorted by row, a label's corners pair up into horizontal edges;
down a column they pair up into vertical ones. Following both kinds in turn gives rings. Samples that touch
only diagonally are not connected (4 neighbours).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.errors import RunError

EAST = 1  # the horizontal edge goes east (not set: west)
SOUTH = 2  # the vertical edge goes south (not set: north)
CONVEX = 4  # one sample of the label lies in the corner (not set: all but one)


class Corners(NamedTuple):
    """Corners of one or many labels; all arrays have shape ``(n,)``.

    `trace` wants them sorted by label, then row, then column, and at one point west before east.
    """

    label: NDArray[np.int64]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    kind: NDArray[np.uint8]

    @classmethod
    def room(cls, count: int) -> Corners:
        """Arrays for `count` corners, not filled."""
        return cls(*(np.empty(count, t) for t in (np.int64, np.int32, np.int32, np.uint8)))  # type: ignore[arg-type]

    @classmethod
    def joined(cls, parts: Sequence[Corners]) -> Corners:
        """All corners of the parts, in their order."""
        return cls(*(np.concatenate(arrays) for arrays in zip(cls.room(0), *parts, strict=True)))

    def take(self, chosen: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Corners:
        return Corners(self.label[chosen], self.row[chosen], self.col[chosen], self.kind[chosen])

    def by_label(self) -> Corners:
        """Sorted by label and row; of one label and row they keep their order."""
        rows = self.take(_order(self.row))
        return rows.take(_order(rows.label))


class Rings(NamedTuple):
    """Closed simple rings over lattice points, with the label's samples on the right hand on screen (y down)."""

    points: NDArray[np.int32]
    """``(m, 2)``: row, column; each ring's first point is repeated as its last."""
    starts: NDArray[np.int64]
    """``(rings + 1,)``: where each ring begins in `points`."""
    polygon: NDArray[np.int64]
    """``(rings,)``: which polygon a ring bounds, 0 .. polygons - 1, in the order of labels."""
    hole: NDArray[np.bool_]
    """``(rings,)``: whether the ring is a hole of its polygon."""
    label: NDArray[np.int64]
    """``(polygons,)``: the label of each polygon."""


class CornerScan:
    """Finds corners in blocks of labels, in one buffer that grows as needed."""

    def __init__(self) -> None:
        self._buffer = Corners.room(1 << 14)

    def __call__(self, padded: NDArray[Any], row: int, col: int) -> Corners:
        """Corners of the lattice points inside a block.

        Parameters
        ----------
        padded : ndarray of unsigned int, shape (h + 1, w + 1)
            Labels of the block, behind one row and one column of what lies above and left of it.
        row, col : int
            Index of the block's first sample.
        """
        found = _scan(padded, row, col, self._buffer)
        if found > len(self._buffer.row):
            self._buffer = Corners.room(2 * found)
            _scan(padded, row, col, self._buffer)
        return Corners.joined([self._buffer.take(slice(found))])


def trace(corners: Corners) -> Rings:
    """The rings of sorted `corners`: exteriors, and holes with the polygon they lie in.

    Raises
    ------
    RunError
        If corners are missing: the labels are not all there, or have changed meanwhile.
    """
    count = len(corners.row)
    vertical = _pair_columns(corners, int(corners.col.max(initial=0)) + 1)
    if not _closed(corners, vertical):
        raise RunError(
            f"Outlines of objects {corners.label[0]} to {corners.label[-1]} do not close, the labels do not fit the "
            "table of objects: compute the run again with --restart"
        )
    ring_of = np.empty(count, np.int64)
    points = np.empty((count + count // 4 + 1, 2), np.int32)
    starts = np.empty(count // 4 + 2, np.int64)
    origin = np.empty(count // 4 + 1, np.int64)  # per simple ring the traced ring it was cut from
    inner = np.empty(count // 4 + 1, np.bool_)
    first = np.empty(count // 4 + 1, np.int64)  # per traced ring its first corner
    simple, traced = _follow(corners, vertical, ring_of, first, (points, starts, origin, inner))
    origin, inner, first = origin[:simple], inner[:simple], first[:traced]
    exterior = (corners.kind[first] & CONVEX) != 0
    parent = np.arange(traced)
    if not exterior.all():
        _join(corners, ring_of, parent)
    polygon_of = np.empty(traced, np.int64)
    polygon_of[exterior] = np.arange(int(exterior.sum()))
    root_polygon = np.empty(traced, np.int64)
    root_polygon[parent[exterior]] = polygon_of[exterior]
    polygon_of = root_polygon[parent]
    label = corners.label[first[exterior]]
    return Rings(points[: starts[simple]], starts[: simple + 1], polygon_of[origin], inner, label)


@njit(cache=True, nogil=True)
def _scan(padded: Any, row: int, col: int, out: Any) -> int:
    """Write the corners row by row, west before east; beyond the end of `out` only count them."""
    height, width = padded.shape
    found = 0
    around = np.empty(4, padded.dtype)
    for i in range(1, height):
        for j in range(1, width):
            a, b, c, d = padded[i - 1, j - 1], padded[i - 1, j], padded[i, j - 1], padded[i, j]
            if (a == b and c == d) or (a == c and b == d):
                continue
            around[0], around[1], around[2], around[3] = a, b, c, d
            for k in range(4):
                value = around[k]
                if value == 0 or (k > 0 and a == value) or (k > 1 and b == value) or (k > 2 and c == value):
                    continue  # background, or a label that was handled already
                here = (a == value) + 2 * (b == value) + 4 * (c == value) + 8 * (d == value)
                first, second = _KINDS[here, 0], _KINDS[here, 1]
                for kind in (first, second):
                    if kind == _NONE:
                        continue
                    if found < out.row.shape[0]:
                        out.label[found] = value
                        out.row[found] = row + i - 1
                        out.col[found] = col + j - 1
                        out.kind[found] = kind
                    found += 1
    return found


@njit(cache=True, nogil=True)
def _order(keys: Any) -> Any:
    """The stable order that sorts integers of a narrow range, by counting."""
    low, high = keys.min() if len(keys) else 0, keys.max() if len(keys) else 0
    place = np.zeros(high - low + 2, np.int64)
    for key in keys:
        place[key - low + 1] += 1
    place = np.cumsum(place)
    order = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        order[place[keys[i] - low]] = i
        place[keys[i] - low] += 1
    return order


_NONE = 255


def _kinds() -> NDArray[np.uint8]:
    """Per set of samples (1 upper left, 2 upper right, 4 lower left, 8 lower right) the kinds of up to two corners."""
    towards = {1: 0, 2: EAST, 4: SOUTH, 8: EAST | SOUTH}
    kinds = np.full((16, 2), _NONE, np.uint8)
    for sample, kind in towards.items():
        kinds[sample, 0] = kind | CONVEX
        kinds[15 - sample, 0] = kind
    kinds[1 | 8] = towards[1] | CONVEX, towards[8] | CONVEX
    kinds[2 | 4] = towards[4] | CONVEX, towards[2] | CONVEX  # west before east
    return kinds


_KINDS = _kinds()


@njit(cache=True, nogil=True)
def _pair_columns(corners: Any, width: int) -> Any:
    """Per corner the other end of its vertical edge."""
    rows, cols, kinds = corners.row, corners.col, corners.kind
    other = np.full(rows.shape[0], -1, np.int64)
    top = np.full(width, -1, np.int64)  # per column the corner whose edge is open to the south
    i = 0
    while i < rows.shape[0]:
        twins = i + 1 < rows.shape[0] and rows[i] == rows[i + 1] and cols[i] == cols[i + 1]
        ends = i + 1 if twins and kinds[i] & SOUTH else i  # where two edges meet end to end, one ends before one begins
        if kinds[ends] & SOUTH:
            top[cols[i]] = ends
        else:
            other[ends] = top[cols[i]]
            other[top[cols[i]]] = ends
        if twins:
            top[cols[i]] = i + (i + 1) - ends
        i += 2 if twins else 1
    return other


@njit(cache=True, nogil=True)
def _closed(corners: Any, vertical: Any) -> bool:
    """Whether each corner has its other end along both of its edges: only then rings can be followed."""
    count = corners.row.shape[0]
    if count % 2:
        return False
    for i in range(count):
        along, down = i ^ 1, vertical[i]
        if down < 0 or vertical[down] != i or corners.label[down] != corners.label[i]:
            return False
        if corners.row[along] != corners.row[i] or corners.label[along] != corners.label[i]:
            return False
        east, south = corners.kind[i] & EAST != 0, corners.kind[i] & SOUTH != 0
        if east != (i % 2 == 0) or south == (corners.kind[down] & SOUTH != 0):
            return False
    return True


@njit(cache=True, nogil=True)
def _follow(corners: Any, vertical: Any, ring_of: Any, first: Any, out: Any) -> tuple[int, int]:
    """Follow the edges to rings and cut each where it touches itself; counts of simple and of traced rings.

    A ring's first corner is its upper left one, so the ring is an exterior exactly if that corner is convex.
    What is cut off an exterior is a hole, what is cut off a hole is another hole.
    """
    points, starts, origin, inner = out
    ring_of[:] = -1
    place = np.full(ring_of.shape[0], -1, np.int64)  # where on the stack a corner lies
    stack = np.empty(ring_of.shape[0], np.int64)
    simple, traced = 0, 0
    starts[0] = 0
    for begin in range(ring_of.shape[0]):
        if ring_of[begin] >= 0:
            continue
        first[traced] = begin
        height, here = 0, begin
        sideways = corners.kind[begin] & CONVEX != 0  # exteriors leave east, holes south: inside is on the right
        while ring_of[here] < 0:
            ring_of[here] = traced
            twin = _twin(corners, here)
            low = place[twin] if twin >= 0 else -1
            if low >= 0:
                starts[simple + 1] = _close(corners, stack[low:height], place, points, starts[simple])
                origin[simple], inner[simple] = traced, True
                simple, height = simple + 1, low
            place[here], stack[height] = height, here
            height += 1
            here = here ^ 1 if sideways else vertical[here]
            sideways = not sideways
        starts[simple + 1] = _close(corners, stack[:height], place, points, starts[simple])
        origin[simple], inner[simple] = traced, corners.kind[begin] & CONVEX == 0
        simple, traced = simple + 1, traced + 1
    return simple, traced


@njit(cache=True, nogil=True)
def _twin(corners: Any, i: int) -> int:
    """The other corner at the point of corner `i`, where a label meets itself diagonally; -1 if there is none."""
    for k in (i - 1, i + 1):
        if 0 <= k < corners.row.shape[0] and corners.row[k] == corners.row[i] and corners.col[k] == corners.col[i]:
            return k
    return -1


@njit(cache=True, nogil=True)
def _close(corners: Any, chain: Any, place: Any, points: Any, used: int) -> int:
    """Append the corners of `chain` as a closed ring and take them off the stack; the new number of points."""
    for k in range(chain.shape[0] + 1):
        corner = chain[k % chain.shape[0]]
        points[used + k, 0] = corners.row[corner]
        points[used + k, 1] = corners.col[corner]
        place[corner] = -1
    return int(used + chain.shape[0] + 1)


@njit(cache=True, nogil=True)
def _join(corners: Any, ring_of: Any, parent: Any) -> None:
    """Join rings that bound the same piece: a run of samples begins and ends on rings of one piece.

    A sweep down the rows keeps the vertical edges that cross the current row of samples, sorted by column;
    the samples between the 1st and 2nd, the 3rd and 4th ... are the label's.
    """
    count = ring_of.shape[0]
    edges = np.empty((2, count // 2 + 1), np.int32)
    rings = np.empty((2, count // 2 + 1), np.int32)
    now, crossing, i = 0, 0, 0
    while i < count:
        old, kept, begin = 0, 0, i
        while i < count and corners.label[i] == corners.label[begin] and corners.row[i] == corners.row[begin]:
            while old < crossing and edges[now, old] < corners.col[i]:
                edges[1 - now, kept], rings[1 - now, kept] = edges[now, old], rings[now, old]
                old, kept = old + 1, kept + 1
            if corners.kind[i] & SOUTH:
                edges[1 - now, kept], rings[1 - now, kept] = corners.col[i], ring_of[i]
                kept += 1
            else:
                old += 1
            i += 1
        while old < crossing:
            edges[1 - now, kept], rings[1 - now, kept] = edges[now, old], rings[now, old]
            old, kept = old + 1, kept + 1
        now, crossing = 1 - now, kept
        for k in range(0, kept, 2):
            a, b = _root(parent, rings[now, k]), _root(parent, rings[now, k + 1])
            parent[max(a, b)] = min(a, b)
    for k in range(parent.shape[0]):
        parent[k] = _root(parent, k)


@njit(cache=True, nogil=True)
def _root(parent: Any, k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k
