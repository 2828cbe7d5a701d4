"""Outlines with their corners cut, node to node: both neighbours get the same curve, and no two curves cross.

The corner at a vertex ``v`` is replaced by the curve to which cutting corners again and again converges: a parabola
between points on its two edges, at most at their middles, that touches both::

    u ----- a ----- v         a, b: where the curve begins and ends
                *   |         The curve stays in the triangle a v b. If that holds no vertex of any other outline,
                  * b         none of their edges passes through it, and no triangle of another vertex overlaps it:
                    |         an edge that enters across a b cannot leave, for u v and v w belong to the outline.
                    w         So each corner is judged on its own; a corner that is not free stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.vectors.lines import Lines
from promptile.vectors.marks import has_vertex


def smoothed(
    lines: Lines, kept: NDArray[np.bool_], metric: NDArray[np.float64], rule: tuple[int, float]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points ``(m, 2)`` on the lattice, and starts, of closed rings, whose first point is repeated.

    Parameters
    ----------
    lines : Lines
    kept : ndarray of bool
        Which of their points are vertices; nodes are, and stay where they are.
    metric : ndarray, shape (2, 2)
        Takes half steps in rows and columns to steps in the world.
    rule : tuple of int and float
        How often corners are cut (0: not at all), and how far from a vertex its curve may begin.
    """
    pieces = 2 ** rule[0] if rule[0] else 0
    rings = len(lines.starts) - 1
    found, ends = np.empty((int(kept.sum()) * (pieces + 1) + rings, 2)), np.zeros(rings + 1, np.int64)
    _smooth(lines, kept, metric, (pieces, rule[1]), found, ends)
    return found[: ends[-1]] / 2, ends


@njit(cache=True, nogil=True)
def _smooth(lines: Any, kept: Any, metric: Any, rule: Any, found: Any, ends: Any) -> None:
    pieces, reach = rule
    points, starts, nodes = lines.points, lines.starts, lines.nodes
    used = 0
    triangle = np.empty((3, 2))
    for ring in range(len(starts) - 1):
        begin, count = starts[ring], starts[ring + 1] - starts[ring]
        corners = np.flatnonzero(kept[begin : begin + count])
        for k in range(len(corners)):
            before, here, after = corners[k - 1], corners[k], corners[(k + 1) % len(corners)]
            triangle[1] = points[begin + here]
            _towards(triangle, 0, points[begin + before], metric, reach)
            _towards(triangle, 2, points[begin + after], metric, reach)
            cut = pieces > 0 and not nodes[begin + here]
            if cut and _is_free(triangle, points[begin : begin + count], before, after, lines):
                used = _curve(triangle, pieces, found, used, ends[ring])
            else:
                found[used] = triangle[1]
                used += 1
        if _same(found[used - 1], found[ends[ring]]):
            used -= 1  # the last curve ends where the first one begins
        found[used] = found[ends[ring]]
        used += 1
        ends[ring + 1] = used


@njit(cache=True, nogil=True)
def _towards(triangle: Any, end: int, other: Any, metric: Any, reach: float) -> None:
    """Put the `end` of a curve on the edge to `other`: at its middle, or `reach` away."""
    down, right = other[0] - triangle[1, 0], other[1] - triangle[1, 1]
    x, y = metric[0, 0] * down + metric[0, 1] * right, metric[1, 0] * down + metric[1, 1] * right
    share = min(0.5, reach / np.sqrt(x * x + y * y))
    triangle[end, 0], triangle[end, 1] = triangle[1, 0] + share * down, triangle[1, 1] + share * right


@njit(cache=True, nogil=True, inline="always")
def _same(a: Any, b: Any) -> bool:
    return bool(a[0] == b[0] and a[1] == b[1])


@njit(cache=True, nogil=True)
def _curve(triangle: Any, pieces: int, found: Any, used: int, first: int) -> int:
    """Write the points of a curve. Forth and back they are the same numbers: sums are symmetric."""
    for i in range(pieces + 1):
        a, b = (pieces - i) ** 2 / pieces**2, i**2 / pieces**2
        middle = 2 * i * (pieces - i) / pieces**2
        for axis in range(2):
            ends = a * triangle[0, axis] + b * triangle[2, axis]
            found[used, axis] = ends + middle * triangle[1, axis]
        used += 0 if used > first and _same(found[used], found[used - 1]) else 1
    return used


@njit(cache=True, nogil=True)
def _is_free(triangle: Any, ring: Any, before: int, after: int, lines: Any) -> bool:
    """Whether all vertices in the triangle are the ring's own, from the vertex before to the one after.

    Those of them that are not kept do no harm: they are gone.
    """
    corners = triangle.copy()
    if corners[0, 0] > corners[2, 0] or (corners[0, 0] == corners[2, 0] and corners[0, 1] > corners[2, 1]):
        corners[0], corners[2] = triangle[2], triangle[0]  # the neighbour asks the same question
    marks = 0
    for row in range(int(np.ceil(corners[:, 0].min())), int(np.floor(corners[:, 0].max())) + 1):
        for col in range(int(np.ceil(corners[:, 1].min())), int(np.floor(corners[:, 1].max())) + 1):
            if has_vertex(lines.sheet, row, col, lines.middles) and _holds(corners, row, col):
                marks += 1
    own, k = 0, before
    while True:
        if _holds(corners, ring[k, 0], ring[k, 1]):
            own += 1
        if k == after:
            break
        k = (k + 1) % len(ring)
    return own == marks


@njit(cache=True, nogil=True)
def _holds(corners: Any, row: int, col: int) -> bool:
    """Whether a point lies in a triangle or on its border."""
    low, high = 0.0, 0.0
    for k in range(3):
        m = (k + 1) % 3
        side = (corners[m, 0] - corners[k, 0]) * (col - corners[k, 1])
        side -= (corners[m, 1] - corners[k, 1]) * (row - corners[k, 0])
        low, high = min(low, side), max(high, side)
    return low >= -1e-9 or high <= 1e-9
