"""How regions join, two by two: what is added up over them, what joining costs, and the order in which it is done."""

from __future__ import annotations

import heapq
from typing import Any

import numba
import numpy as np

SIZE, STEEP, OPEN, BORDER, STRONG, WEAK, COLOUR = range(7)
"""Columns of what is added up over a region: samples by their volume; the sum of the steepness over them; the area of
border that the view cuts; the area of the other border, and over it the sums of steepness and of weakness; from COLOUR
on the sums of the colours."""
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


@numba.njit(cache=True, nogil=True)
def key(a: Any, b: Any) -> Any:
    """One number for two regions, whichever comes first."""
    return np.int64(min(a, b)) << 32 | np.int64(max(a, b))


@numba.njit(cache=True, nogil=True)
def place_of(table: Any, key: Any) -> Any:
    """Where a key is in a hash table ``(2, 2 ** n)`` of keys and values, or where it belongs."""
    mask = table.shape[1] - 1
    place = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(24)) & mask
    while table[0, place] >= 0 and table[0, place] != key:
        place = (place + 1) & mask
    return place


@numba.njit(cache=True, nogil=True)
def doubled(table: Any) -> Any:
    """The same table with twice the places."""
    wide = np.full((2, 2 * table.shape[1]), -1, np.int64)
    for i in range(table.shape[1]):
        if table[0, i] >= 0:
            wide[:, place_of(wide, table[0, i])] = table[:, i]
    return wide


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
def joined(ends: Any, links: Any, amounts: Any, boxes: Any) -> Any:
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
        place = place_of(table, key(ends[e, 0], ends[e, 1]))
        table[0, place], table[1, place] = key(ends[e, 0], ends[e, 1]), e
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
                place = place_of(table, key(b, other))
                g = table[1, place]
                if table[0, place] >= 0 and alive[g]:
                    links[g] += links[f]
                    alive[f] = False
                    degree[other] -= 1
                else:
                    if table[0, place] < 0:
                        used += 1
                        if 2 * used > table.shape[1]:
                            table = doubled(table)
                            place = place_of(table, key(b, other))
                    table[0, place], table[1, place] = key(b, other), f
                    ends[f, k], following[end], first[b] = b, first[b], end
                    degree[b] += 1
                    g = f
                heapq.heappush(heap, _entry(_cost(links[g], sums[region[b]], sums[region[other]]), g))
            end = after
    return parents[:new], halves[:new], sums[:new], costs[:new], seams[:new], spans[:new]
