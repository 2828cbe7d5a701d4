"""Rings with all their nodes, as outlines or as lines of middles: what is simplified and smoothed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.vectors.marks import NODE_MARK, Sheet, mark_at
from promptile.vectors.rings import Rings


class Lines(NamedTuple):
    """Closed lines with all their vertices, also those that are only their neighbours'."""

    points: NDArray[np.int32]
    """``(m, 2)``: rows and columns in half steps; a line's first point is not repeated."""
    starts: NDArray[np.int64]
    """``(lines + 1,)``: where each begins."""
    nodes: NDArray[np.bool_]
    """``(m,)``: which points are nodes."""
    sheet: Sheet
    """The vertices of all outlines within the bounding boxes of the objects."""
    middles: bool
    """Whether these are lines of middles, or the outlines themselves."""


def lines_of(rings: Rings, sheet: Sheet, middles: bool) -> Lines:
    """The outlines that `rings` are, or their lines of `middles`."""
    starts = np.zeros(len(rings.polygon) + 1, np.int64)
    none, no_flags = np.empty((0, 2), np.int32), np.empty(0, np.bool_)
    _walk(rings.points, rings.starts, sheet, starts, (none, no_flags))
    points, nodes = np.empty((starts[-1], 2), np.int32), np.empty(starts[-1], np.bool_)
    _walk(rings.points, rings.starts, sheet, starts, (points, nodes))
    if middles:
        used = _shrink_steps(points, starts, nodes)
        points, nodes = points[:used], nodes[:used]
    return Lines(points, starts, nodes, sheet, middles)


@njit(cache=True, nogil=True)
def _walk(points: Any, ends: Any, sheet: Any, starts: Any, out: Any) -> None:
    """Walk along the edges and write vertices and the nodes between them; without room in `out` only count them."""
    found, flags = out
    writing = len(flags) > 0
    used = 0
    for ring in range(len(ends) - 1):
        starts[ring] = used
        for i in range(ends[ring], ends[ring + 1] - 1):
            row, col = points[i, 0], points[i, 1]
            down, right = np.sign(points[i + 1, 0] - row), np.sign(points[i + 1, 1] - col)
            corner = True
            while row != points[i + 1, 0] or col != points[i + 1, 1]:
                node = mark_at(sheet, row, col) & NODE_MARK != 0
                if corner or node:
                    if writing:
                        found[used, 0], found[used, 1], flags[used] = 2 * row, 2 * col, node
                    used += 1
                row, col, corner = row + down, col + right, False
    starts[len(ends) - 1] = used


@njit(cache=True, nogil=True)
def _shrink_steps(points: Any, starts: Any, nodes: Any) -> int:
    """Put the middle of each step in the place of its two corners; how many points there are then."""
    used = 0
    for ring in range(len(starts) - 1):
        begin, count = starts[ring], starts[ring + 1] - starts[ring]
        line, flags = points[begin : begin + count].copy(), nodes[begin : begin + count].copy()
        starts[ring] = used
        last = _is_step(line, flags, count - 1)
        for k in range(count):
            step = _is_step(line, flags, k)
            if not last and not step:
                points[used], nodes[used] = line[k], flags[k]
                used += 1
            if step:
                following = (k + 1) % count
                points[used, 0] = (line[k, 0] + line[following, 0]) // 2
                points[used, 1] = (line[k, 1] + line[following, 1]) // 2
                nodes[used] = False
                used += 1
            last = step
    starts[len(starts) - 1] = used
    return used


@njit(cache=True, nogil=True)
def _is_step(line: Any, nodes: Any, k: int) -> bool:
    """Whether the edge after vertex `k` is one sample long and the line turns there and back."""
    count = len(line)
    after, beyond = (k + 1) % count, (k + 2) % count
    if nodes[k] or nodes[after] or abs(line[after, 0] - line[k, 0]) + abs(line[after, 1] - line[k, 1]) != 2:
        return False
    down, right = line[k, 0] - line[k - 1, 0], line[k, 1] - line[k - 1, 1]
    return bool(down * (line[beyond, 0] - line[after, 0]) + right * (line[beyond, 1] - line[after, 1]) > 0)
