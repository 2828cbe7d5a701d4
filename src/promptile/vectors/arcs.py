"""Outlines with fewer vertices, arc by arc: both neighbours get the same border, and no two borders cross.

An arc is the part of a ring between two nodes, the points where more than two outlines meet::

    1 1 1 2 2 2
    1 1 1 1 2 2       The arc between 1 and 2 is seen by both, from either side. It runs from the upper to the lower
    1 1 1 2 2 2       node; both objects simplify it in that direction, with the same arithmetic.
    3 3 3 3 3 3

A piece of an arc may become a straight chord if

1. no point of it is farther from the chord than the tolerance,
2. it runs steadily along rows or columns, so that it and the chord enclose a simple pocket, and
3. no other vertex, of whatever line *before anything was simplified*, lies in that pocket or on the chord.

Then chords cannot cross, whatever else is simplified and in whatever order. Suppose two did, once. The ends of each
lie outside of the other's pocket (3). To get from the chord it crosses to its end, the second chord must leave the
pocket: not through the chord, both are straight; so through the line that the chord replaces. The edge of that
line which it crosses is an original one, and by the same reasoning would have an end in the second chord's pocket.

Chords between two nodes need one more rule: two arcs with the same ends must not become one line. Such a chord
is taken only if the arc lies strictly on its left and it runs along neither rows nor columns. Of two arcs on the left,
the outer has the inner in its pocket.

What is simplified is the line of middles (`promptile.vectors.marks`), unless the tolerance forbids it; distances are
those of the corners of samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.vectors.lines import Lines
from promptile.vectors.marks import has_vertex


def simplified(lines: Lines, metric: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Which vertices of the `lines` are kept; nodes always are.

    Parameters
    ----------
    lines : Lines
    metric : ndarray, shape (2, 2)
        Takes half steps in rows and columns to steps in the world.
    tolerance : float
        Largest distance in the world between a corner of the outlines and the new line.
    """
    kept = lines.nodes.copy()
    _simplify(lines, kept, metric, tolerance**2)
    return kept


@njit(cache=True, nogil=True)
def _simplify(lines: Any, kept: Any, metric: Any, limit: float) -> None:
    points, starts, nodes = lines.points, lines.starts, lines.nodes
    for ring in range(len(starts) - 1):
        begin, count = starts[ring], starts[ring + 1] - starts[ring]
        first = 0
        while first < count and not nodes[begin + first]:
            first += 1
        if first == count:
            first = _least(points[begin : begin + count])
            kept[begin + first] = True
        at = 0
        while at < count:
            length = 1
            while length < count and not kept[begin + (first + at + length) % count]:
                length += 1
            order = begin + (first + at + np.arange(length + 1)) % count
            if length == count:  # a loop: what is farthest from its only fixed point becomes another one
                half = _farthest_from_start(points, order, metric)
                kept[order[half]] = True
                _arc(lines, order[: half + 1], kept, metric, limit)
                _arc(lines, order[half:], kept, metric, limit)
            elif length > 1:
                _arc(lines, order, kept, metric, limit)
            at += length


@njit(cache=True, nogil=True, inline="always")
def _before(points: Any, i: int, j: int) -> bool:
    """Whether point `i` comes before point `j`, row by row."""
    return bool(points[i, 0] < points[j, 0] or (points[i, 0] == points[j, 0] and points[i, 1] < points[j, 1]))


@njit(cache=True, nogil=True)
def _least(points: Any) -> int:
    least = 0
    for i in range(1, len(points)):
        if _before(points, i, least):
            least = i
    return least


@njit(cache=True, nogil=True)
def _farthest_from_start(points: Any, order: Any, metric: Any) -> int:
    farthest, best = 0, -1.0
    for k in range(1, len(order) - 1):
        down, right = points[order[k], 0] - points[order[0], 0], points[order[k], 1] - points[order[0], 1]
        x, y = metric[0, 0] * down + metric[0, 1] * right, metric[1, 0] * down + metric[1, 1] * right
        distance = x * x + y * y
        if distance > best or (distance == best and _before(points, order[k], order[farthest])):
            farthest, best = k, distance
    return farthest


@njit(cache=True, nogil=True)
def _arc(lines: Any, order: Any, kept: Any, metric: Any, limit: float) -> None:
    """Keep the vertices of an arc that its simplified line needs: split at the farthest until chords are allowed."""
    if _before(lines.points, order[-1], order[0]):
        order = order[::-1]
    line = np.empty((len(order), 2), np.int64)
    for k in range(len(order)):
        line[k] = lines.points[order[k]]
    todo = [(0, len(order) - 1)]
    while len(todo) > 0:
        i, j = todo.pop()
        if j - i < 2:
            continue
        farthest, near = _deviation(line, i, j, metric, limit)
        whole = i == 0 and j == len(order) - 1
        if near and not (whole and not _on_the_left(line)) and _pocket_is_free(line, i, j, lines):
            continue
        kept[order[farthest]] = True
        todo.append((i, farthest))
        todo.append((farthest, j))


@njit(cache=True, nogil=True)
def _deviation(line: Any, i: int, j: int, metric: Any, limit: float) -> tuple[int, bool]:
    """The vertex between `i` and `j` that is farthest from their chord, and whether it is near enough."""
    down, right = line[j, 0] - line[i, 0], line[j, 1] - line[i, 1]
    x, y = metric[0, 0] * down + metric[0, 1] * right, metric[1, 0] * down + metric[1, 1] * right
    length = x * x + y * y
    farthest, best = i + 1, -1.0
    for k in range(i + 1, j):
        # Of a step both corners count. Those of a step at an end of the chord are half a sample away from that.
        odd_down, odd_right = line[k, 0] & 1, line[k, 1] & 1
        for side in range(-1, 2, 2) if odd_down or odd_right else range(1):
            down, right = line[k, 0] + side * odd_down - line[i, 0], line[k, 1] + side * odd_right - line[i, 1]
            px, py = metric[0, 0] * down + metric[0, 1] * right, metric[1, 0] * down + metric[1, 1] * right
            along = min(max((px * x + py * y) / length, 0.0), 1.0)
            px, py = px - along * x, py - along * y
            distance = px * px + py * py
            if distance > best:
                farthest, best = k, distance
    return farthest, best <= limit


@njit(cache=True, nogil=True)
def _on_the_left(line: Any) -> bool:
    """Whether an arc lies strictly on the left of the chord of its ends, which runs along neither rows nor columns."""
    down, right = line[-1, 0] - line[0, 0], line[-1, 1] - line[0, 1]
    if down == 0 or right == 0:
        return False
    for k in range(1, len(line) - 1):
        if right * (line[k, 0] - line[0, 0]) - down * (line[k, 1] - line[0, 1]) >= 0:
            return False
    return True


@njit(cache=True, nogil=True)
def _pocket_is_free(line: Any, i: int, j: int, lines: Any) -> bool:
    """Whether the line from `i` to `j` is steady along an axis and no vertex lies between it and its chord, or on it.

    Vertices have whole numbers, so it is enough to look from the line to the chord in each column, or in each row if
    the line is steady along rows.
    """
    axis = 1 if abs(line[j, 1] - line[i, 1]) >= abs(line[j, 0] - line[i, 0]) else 0
    if not _is_steady(line, i, j, axis):
        axis = 1 - axis
        if not _is_steady(line, i, j, axis):
            return False
    cross = 1 - axis
    k = i
    while k <= j:
        here, low, high = line[k, axis], line[k, cross], line[k, cross]
        while k < j and line[k + 1, axis] == here:  # the line runs across
            k += 1
            low, high = min(low, line[k, cross]), max(high, line[k, cross])
        if not _is_free_at(line, i, j, axis, here, low, high, lines):
            return False
        if k < j:
            step = 1 if line[k + 1, axis] > here else -1
            for between in range(here + step, line[k + 1, axis], step):
                high, low = _level(line, k, k + 1, axis, between)
                if not _is_free_at(line, i, j, axis, between, low, high, lines):
                    return False
        k += 1
    return True


@njit(cache=True, nogil=True, inline="always")
def _level(line: Any, i: int, j: int, axis: int, here: int) -> tuple[int, int]:
    """How high the straight line from point `i` to point `j` is at position `here` of the axis: rounded down and up."""
    rise, run = line[j, 1 - axis] - line[i, 1 - axis], line[j, axis] - line[i, axis]
    if run < 0:
        rise, run = -rise, -run
    level = rise * (here - line[i, axis])
    return line[i, 1 - axis] + level // run, line[i, 1 - axis] - (-level // run)


@njit(cache=True, nogil=True)
def _is_free_at(line: Any, i: int, j: int, axis: int, here: int, low: int, high: int, lines: Any) -> bool:
    """Whether nothing lies between the line, from `low` to `high` at position `here`, and the chord, or on it."""
    top, bottom = _level(line, i, j, axis, here)
    first, last = (high + 1, top) if top > high else (bottom, low - 1)
    for across in range(first, last + 1):
        row, col = (across, here) if axis == 1 else (here, across)
        if has_vertex(lines.sheet, row, col, lines.middles):
            return False
    return True


@njit(cache=True, nogil=True)
def _is_steady(line: Any, i: int, j: int, axis: int) -> bool:
    """Whether the line never turns back along an axis on its way from `i` to `j`."""
    way = np.sign(line[j, axis] - line[i, axis])
    least = 0 if way else -1
    for k in range(i, j):
        least = min(least, (line[k + 1, axis] - line[k, axis]) * way)
    return bool(least >= 0)
