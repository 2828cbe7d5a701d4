"""Regions of a picture and how they join: a watershed of small basins, merged two by two up to the whole picture.

Nothing is computed over the whole view, so what is far from the borders of two views that show the same is the same
in both. All arrays have the axes ``(z, y, x)``; images have one slice. Lengths are in units of the smallest spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.joining import COLOUR, OPEN, SIZE, STEEP, doubled, joined, key, place_of

FAINT = 2.5
"""Steepness below which a border is weak, in steps of colour per smallest spacing."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Regions: basins first, then what two earlier regions become."""

    basins: NDArray[np.int32]
    """``(z, y, x)``: number of each sample's basin from 0; -1 where nothing is known."""
    parents: NDArray[np.int32]
    """``(n,)``: the region that each one becomes a half of; -1 if none."""
    halves: NDArray[np.int32]
    """``(n, 2)``: the two regions that it was made of; -1 for basins."""
    amounts: NDArray[np.float64]
    """``(n, COLOUR + c)``"""
    costs: NDArray[np.float64]
    """``(n,)``: the highest cost of joining anything inside; 0 for basins."""
    seams: NDArray[np.float64]
    """``(n,)``: mean steepness between it and what it is joined with; 0 if with nothing."""
    boxes: NDArray[np.int32]
    """``(n, 2, 3)``: first sample, and the one after the last."""


def hierarchy(colours: NDArray[np.float32], known: NDArray[np.bool_], spacing: Sequence[float], crumb: int) -> Tree:
    """The tree of all regions.

    Parameters
    ----------
    colours : ndarray of float32, shape (c, z, y, x)
        Smooth, in steps that a person sees.
    known : ndarray of bool, shape (z, y, x)
    spacing : sequence of three floats
    crumb : int
        Samples below which basins are not looked at one by one: most of the time would go into them.
    """
    finest = min(spacing)
    lengths = np.array([s / finest for s in spacing])
    steep = steepness(colours, known, lengths)
    basins = _basins(steep, known)
    count = int(basins.max(initial=-1)) + 1
    faces = lengths.prod() / lengths
    amounts, boxes = _amounts(basins, count, colours, steep, faces)
    ends, links = _borders(basins, steep, faces)
    groups = _groups(ends, links, amounts[:, SIZE] / np.sqrt(faces.prod()), crumb)
    if len(groups) and groups.max() + 1 < count:
        basins = np.where(basins >= 0, groups[basins], -1).astype(np.int32)
        amounts, boxes = _amounts(basins, int(groups.max()) + 1, colours, steep, faces)
        ends, links = _borders(basins, steep, faces)
    return Tree(basins, *joined(ends, links, amounts, boxes))


@numba.njit(cache=True, nogil=True)
def steepness(colours: Any, known: Any, lengths: Any) -> Any:
    """``(z, y, x)``: length of the colours' gradient between known samples."""
    count, depth, height, width = colours.shape
    steep = np.zeros((depth, height, width), np.float32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not known[z, y, x]:
                    continue
                z0, z1 = max(z - 1, 0), min(z + 1, depth - 1)
                y0, y1 = max(y - 1, 0), min(y + 1, height - 1)
                x0, x1 = max(x - 1, 0), min(x + 1, width - 1)
                z0, z1 = z0 if known[z0, y, x] else z, z1 if known[z1, y, x] else z
                y0, y1 = y0 if known[z, y0, x] else y, y1 if known[z, y1, x] else y
                x0, x1 = x0 if known[z, y, x0] else x, x1 if known[z, y, x1] else x
                total = 0.0
                for c in range(count):
                    down = (colours[c, z1, y, x] - colours[c, z0, y, x]) / (max(z1 - z0, 1) * lengths[0])
                    along = (colours[c, z, y1, x] - colours[c, z, y0, x]) / (max(y1 - y0, 1) * lengths[1])
                    right = (colours[c, z, y, x1] - colours[c, z, y, x0]) / (max(x1 - x0, 1) * lengths[2])
                    total += down * down + along * along + right * right
                steep[z, y, x] = np.sqrt(total)
    return steep


@numba.njit(cache=True, nogil=True)
def _basins(steep: Any, known: Any) -> Any:
    """Where a drop of water ends that always takes the steepest way down; of equal ways the first one."""
    depth, height, width = steep.shape
    level, held = steep.ravel(), known.ravel()
    down = np.full(level.size, -1, np.int32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                here = (z * height + y) * width + x
                if not held[here]:
                    continue
                best = here
                for side in range(6):
                    step, inside = _side(side, z, y, x, steep.shape)
                    there = here + step
                    if inside and held[there] and (level[there], there) < (level[best], best):
                        best = there
                down[here] = best
    basins = np.full(level.size, -1, np.int32)
    count = 0
    for here in range(level.size):
        if down[here] == here:
            basins[here] = count
            count += 1
    for here in range(level.size):
        end = here
        while held[here] and basins[end] < 0:
            end = down[end]
        found, there = basins[end], here
        while held[here] and basins[there] < 0:
            basins[there] = found
            there = down[there]
    return basins.reshape(steep.shape)


@numba.njit(cache=True, nogil=True)
def _side(side: int, z: int, y: int, x: int, shape: Any) -> Any:
    """Flat distance to one of the six neighbours, and whether it is there."""
    if side == 0:
        return -shape[1] * shape[2], z > 0
    if side == 1:
        return -shape[2], y > 0
    if side == 2:
        return -1, x > 0
    if side == 3:
        return 1, x < shape[2] - 1
    if side == 4:
        return shape[2], y < shape[1] - 1
    return shape[1] * shape[2], z < shape[0] - 1


@numba.njit(cache=True, nogil=True)
def _amounts(basins: Any, count: int, colours: Any, steep: Any, faces: Any) -> Any:
    """What is added up over each basin, all but its border, and its box."""
    shape = basins.shape
    volume = np.sqrt(faces[0] * faces[1] * faces[2])
    amounts = np.zeros((count, COLOUR + len(colours)))
    boxes = np.empty((count, 2, 3), np.int32)
    boxes[:, 0], boxes[:, 1] = max(shape), 0
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                i = basins[z, y, x]
                if i < 0:
                    continue
                amounts[i, SIZE] += volume
                amounts[i, STEEP] += volume * steep[z, y, x]
                for axis, place in enumerate((z, y, x)):
                    boxes[i, 0, axis] = min(boxes[i, 0, axis], place)
                    boxes[i, 1, axis] = max(boxes[i, 1, axis], place + 1)
                    if shape[axis] > 1 and (place == 0 or place == shape[axis] - 1):
                        amounts[i, OPEN] += faces[axis]
                for c in range(len(colours)):
                    amounts[i, COLOUR + c] += volume * colours[c, z, y, x]
    return amounts, boxes


@numba.njit(cache=True, nogil=True)
def _borders(basins: Any, steep: Any, faces: Any) -> Any:
    """Pairs of basins that touch ``(e, 2)``, and of the border between them area, steepness and weakness ``(e, 3)``."""
    shape = basins.shape
    table = np.full((2, 1 << 16), -1, np.int64)
    ends, links = np.empty((1 << 15, 2), np.int32), np.zeros((1 << 15, 3))
    count = 0
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                a = basins[z, y, x]
                for axis in range(3):
                    z2, y2, x2 = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if a < 0 or z2 == shape[0] or y2 == shape[1] or x2 == shape[2]:
                        continue
                    b = basins[z2, y2, x2]
                    if b < 0 or b == a:
                        continue
                    place = place_of(table, key(a, b))
                    if table[0, place] < 0:
                        if count == len(ends):
                            ends = np.concatenate((ends, np.empty_like(ends)))
                            links = np.concatenate((links, np.zeros_like(links)))
                        if 2 * count > table.shape[1]:
                            table = doubled(table)
                            place = place_of(table, key(a, b))
                        table[0, place], table[1, place] = key(a, b), count
                        ends[count, 0], ends[count, 1] = min(a, b), max(a, b)
                        count += 1
                    e = table[1, place]
                    edge = max(steep[z, y, x], steep[z2, y2, x2])
                    links[e, 0] += faces[axis]
                    links[e, 1] += faces[axis] * edge
                    links[e, 2] += faces[axis] * np.exp(-((edge / FAINT) ** 2))
    return ends[:count], links[:count]


@numba.njit(cache=True, nogil=True)
def _groups(ends: Any, links: Any, sizes: Any, crumb: int) -> Any:
    """``(n,)``: a group for each basin: crumbs go with the neighbour from which least divides them."""
    nearest, gap = np.full(len(sizes), -1, np.int32), np.full(len(sizes), np.inf)
    for e in range(len(ends)):
        for k in range(2):
            i = ends[e, k]
            if sizes[i] < crumb and links[e, 1] / links[e, 0] < gap[i]:
                nearest[i], gap[i] = ends[e, 1 - k], links[e, 1] / links[e, 0]
    groups = np.full(len(sizes), -1, np.int32)
    first = np.arange(len(sizes)).astype(np.int32)
    for i in range(len(sizes)):
        a, b = _first(first, i), _first(first, nearest[i] if nearest[i] >= 0 else i)
        first[max(a, b)] = min(a, b)
    count = 0
    for i in range(len(sizes)):
        a = _first(first, i)
        if a == i:
            groups[i] = count
            count += 1
        groups[i] = groups[a]
    return groups


@numba.njit(cache=True, nogil=True)
def _first(first: Any, i: Any) -> Any:
    """The first one of a group, found by following those before."""
    while first[i] != i:
        first[i] = first[first[i]]
        i = first[i]
    return i
