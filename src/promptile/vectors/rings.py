"""Corners followed to closed rings, each with the polygon that it bounds.

Each corner has one horizontal and one vertical edge. Sorted by row, a label's corners pair up into horizontal edges;
down a column they pair up into vertical ones. Following both kinds in turn gives rings. Samples that touch
only diagonally are not connected (4 neighbours).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.corners import CONVEX, EAST, FREE, SOUTH, Corners
from promptile.errors import RunError


class Rings(NamedTuple):
    """Closed simple rings over lattice points, with the label's samples on the right hand on screen (y down)."""

    points: NDArray[np.int32] | NDArray[np.float64]
    """``(m, 2)``: row, column; each ring's first point is repeated as its last."""
    starts: NDArray[np.int64]
    """``(rings + 1,)``: where each ring begins in `points`."""
    polygon: NDArray[np.int64]
    """``(rings,)``: which polygon a ring bounds, 0 .. polygons - 1, in the order of labels."""
    hole: NDArray[np.bool_]
    """``(rings,)``: whether the ring is a hole of its polygon."""
    label: NDArray[np.int64]
    """``(polygons,)``: the label of each polygon."""
    free: NDArray[np.bool_]
    """``(rings,)``: whether only background meets the ring at its corners."""

    def areas(self) -> NDArray[np.float64]:
        """``(rings,)``: what each ring encloses, in samples."""
        if not len(self.polygon):
            return np.zeros(0)
        row, col = self.points[:, 0].astype(float), self.points[:, 1]
        parts = np.zeros(len(row))
        parts[:-1] = row[:-1] * col[1:] - row[1:] * col[:-1]
        parts[self.starts[1:] - 1] = 0  # from the end of a ring to the next ring
        found: NDArray[np.float64] = np.abs(np.add.reduceat(parts, self.starts[:-1])) / 2
        return found

    def take(self, chosen: NDArray[np.intp]) -> Rings:
        """Some of the rings, in the order of `chosen`; polygons keep their numbers."""
        lengths = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        points = self.points[np.repeat(self.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])]
        return Rings(points, starts, self.polygon[chosen], self.hole[chosen], self.label, self.free[chosen])


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
    free = np.empty(count // 4 + 1, np.bool_)
    first = np.empty(count // 4 + 1, np.int64)  # per traced ring its first corner
    simple, traced = _follow(corners, vertical, ring_of, first, (points, starts, origin, inner, free))
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
    return Rings(points[: starts[simple]], starts[: simple + 1], polygon_of[origin], inner, label, free[:simple])


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
    points, starts, origin, inner, free = out
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
                origin[simple], inner[simple], free[simple] = traced, True, _free(corners, stack[low:height])
                simple, height = simple + 1, low
            place[here], stack[height] = height, here
            height += 1
            here = here ^ 1 if sideways else vertical[here]
            sideways = not sideways
        starts[simple + 1] = _close(corners, stack[:height], place, points, starts[simple])
        origin[simple], inner[simple] = traced, corners.kind[begin] & CONVEX == 0
        free[simple] = _free(corners, stack[:height])
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
def _free(corners: Any, chain: Any) -> bool:
    flags = FREE
    for corner in chain:
        flags &= corners.kind[corner]
    return bool(flags)


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
