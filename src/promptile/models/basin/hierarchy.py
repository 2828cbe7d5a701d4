"""Regions of a picture and how they join: a watershed of small basins, merged two by two up to the whole picture.

Nothing is computed over the whole view, so what is far from the borders of two views that show the same is the same
in both. All arrays have the axes ``(z, y, x)``; images have one slice. Lengths are in units of the smallest spacing.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

SIZE, STEEP, OPEN, BORDER, STRONG, WEAK, COLOUR = range(7)
"""Columns of `Tree.amounts`: samples by their volume; the sum of the steepness over them; the area of border that the
view cuts; the area of the other border, and over it the sums of steepness and of `weakness`; from COLOUR on the sums
of the colours."""

FAINT = 2.5
"""Steepness below which a border is weak, in steps of colour per smallest spacing."""
GRAIN = 64.0
"""Size up to which regions are grains, that join first."""
GRAINS, LARGER = 0.5, 0.35
"""Powers of the size of the smaller region in the cost of joining, for grains and for larger ones."""
COLOURS = 0.2
"""Weight of the difference of mean colours against the steepness between them."""
EMBRACE = 0.75
"""The cost falls by exp(-this) for a region all of whose border is shared."""
_TICKS = 2.0**16
"""Costs are ordered by whole numbers, so many to one."""


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
    return Tree(basins, *_joined(ends, links, amounts, boxes))


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
                    place = _place(table, _key(a, b))
                    if table[0, place] < 0:
                        if count == len(ends):
                            ends = np.concatenate((ends, np.empty_like(ends)))
                            links = np.concatenate((links, np.zeros_like(links)))
                        if 2 * count > table.shape[1]:
                            table = _doubled(table)
                            place = _place(table, _key(a, b))
                        table[0, place], table[1, place] = _key(a, b), count
                        ends[count, 0], ends[count, 1] = min(a, b), max(a, b)
                        count += 1
                    e = table[1, place]
                    edge = max(steep[z, y, x], steep[z2, y2, x2])
                    links[e, 0] += faces[axis]
                    links[e, 1] += faces[axis] * edge
                    links[e, 2] += faces[axis] * np.exp(-((edge / FAINT) ** 2))
    return ends[:count], links[:count]


@numba.njit(cache=True, nogil=True)
def _key(a: Any, b: Any) -> Any:
    return np.int64(min(a, b)) << 32 | np.int64(max(a, b))


@numba.njit(cache=True, nogil=True)
def _place(table: Any, key: Any) -> Any:
    """Where a key is in a hash table ``(2, 2 ** n)`` of keys and values, or where it belongs."""
    mask = table.shape[1] - 1
    place = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(24)) & mask
    while table[0, place] >= 0 and table[0, place] != key:
        place = (place + 1) & mask
    return place


@numba.njit(cache=True, nogil=True)
def _doubled(table: Any) -> Any:
    wide = np.full((2, 2 * table.shape[1]), -1, np.int64)
    for i in range(table.shape[1]):
        if table[0, i] >= 0:
            wide[:, _place(wide, table[0, i])] = table[:, i]
    return wide


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


@numba.njit(cache=True, nogil=True)
def _cost(link: Any, a: Any, b: Any) -> Any:
    """What it costs to join two regions: clear borders and large regions are dear, embraced ones cheap."""
    apart = 0.0
    for c in range(COLOUR, len(a)):
        apart += (a[c] / a[SIZE] - b[c] / b[SIZE]) ** 2
    smaller = min(a[SIZE], b[SIZE]) / GRAIN
    shared = link[0] / max(min(a[BORDER], b[BORDER]), link[0])
    scale = smaller ** (GRAINS if smaller < 1 else LARGER) * np.exp(-EMBRACE * shared)
    return (link[1] / link[0] + COLOURS * np.sqrt(apart)) * scale


@numba.njit(cache=True, nogil=True)
def _entry(cost: Any, edge: Any) -> Any:
    """A number that sorts by cost, then by edge."""
    return np.int64(min(cost, 1e6) * _TICKS) << 26 | np.int64(edge)


@numba.njit(cache=True, nogil=True)
def _joined(ends: Any, links: Any, amounts: Any, boxes: Any) -> Any:
    """Join the two regions that cost least, again and again; costs grow as regions do, and are looked at when due."""
    basins, most = len(amounts), max(2 * len(amounts) - 1, 0)
    parents, halves = np.full(most, -1, np.int32), np.full((most, 2), -1, np.int32)
    costs, seams = np.zeros(most), np.zeros(most)
    sums, spans = np.zeros((most, amounts.shape[1])), np.zeros((most, 2, 3), np.int32)
    sums[:basins], spans[:basins] = amounts, boxes
    region = np.arange(basins).astype(np.int32)  # of each basin that still stands for one
    first, degree = np.full(basins, -1, np.int32), np.zeros(basins, np.int32)
    following = np.full(2 * len(ends), -1, np.int32)  # end 2e or 2e + 1 of an edge, and the next one of its region
    alive = np.ones(len(ends), np.bool_)
    size = 1 << 16
    while size < 4 * len(ends):
        size *= 2
    table, used = np.full((2, size), -1, np.int64), len(ends)
    for e in range(len(ends)):
        for k in range(2):
            following[2 * e + k], first[ends[e, k]] = first[ends[e, k]], 2 * e + k
            degree[ends[e, k]] += 1
            sums[ends[e, k], BORDER:COLOUR] += links[e]
        place = _place(table, _key(ends[e, 0], ends[e, 1]))
        table[0, place], table[1, place] = _key(ends[e, 0], ends[e, 1]), e
    heap = [_entry(_cost(links[e], sums[ends[e, 0]], sums[ends[e, 1]]), e) for e in range(len(ends))]
    heapq.heapify(heap)
    new = basins
    while len(heap) > 0:
        entry = heapq.heappop(heap)
        e = entry & ((1 << 26) - 1)
        if not alive[e]:
            continue
        a, b = ends[e, 0], ends[e, 1]
        cost = _cost(links[e], sums[region[a]], sums[region[b]])
        if _entry(cost, e) > entry:
            heapq.heappush(heap, _entry(cost, e))
            continue
        if degree[a] > degree[b]:
            a, b = b, a
        one, two = region[a], region[b]
        parents[one], parents[two], halves[new, 0], halves[new, 1] = new, new, one, two
        sums[new] = sums[one] + sums[two]
        sums[new, BORDER:COLOUR] -= 2 * links[e]
        seams[one] = seams[two] = links[e, 1] / links[e, 0]
        costs[new] = max(cost, costs[one], costs[two])
        spans[new, 0], spans[new, 1] = (
            np.minimum(spans[one, 0], spans[two, 0]),
            np.maximum(spans[one, 1], spans[two, 1]),
        )
        region[b] = new
        new += 1
        alive[e] = False
        degree[b] -= 1
        end = first[a]
        while end >= 0:  # what touched a touches b
            after, f, k = following[end], end >> 1, end & 1
            if alive[f]:
                other = ends[f, 1 - k]
                place = _place(table, _key(b, other))
                g = table[1, place]
                if table[0, place] >= 0 and alive[g]:
                    links[g] += links[f]
                    alive[f] = False
                    degree[other] -= 1
                else:
                    if table[0, place] < 0:
                        used += 1
                        if 2 * used > table.shape[1]:
                            table = _doubled(table)
                            place = _place(table, _key(b, other))
                    table[0, place], table[1, place] = _key(b, other), f
                    ends[f, k], following[end], first[b] = b, first[b], end
                    degree[b] += 1
                    g = f
                heapq.heappush(heap, _entry(_cost(links[g], sums[region[b]], sums[region[other]]), g))
            end = after
    return parents[:new], halves[:new], sums[:new], costs[:new], seams[:new], spans[:new]
