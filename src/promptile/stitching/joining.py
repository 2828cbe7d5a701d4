"""Which objects of all tiles are one: edges joined best first, unless a tile saw that they are two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.grid import Tile
from promptile.stitching.matching import Edges
from promptile.stitching.types import Index, TileObjects


@dataclass(frozen=True, eq=False)
class Nodes:
    """All ``n`` objects of all tiles, numbered by tile order, then by local id."""

    tiles: list[Tile]
    """In the order of their indices."""
    offsets: NDArray[np.int64]
    """``(tiles + 1,)``: the nodes of tile ``t`` are ``offsets[t]`` up to ``offsets[t + 1]``."""
    tile_of: NDArray[np.int32]
    """``(n,)``: position in `tiles`."""
    facts: TileObjects
    """Of all nodes; its parents are still local ids."""

    @classmethod
    def of(cls, objects: Mapping[Tile, TileObjects]) -> Nodes:
        tiles = sorted(objects, key=lambda tile: tile.index)
        parts = [objects[tile] for tile in tiles]
        sizes = [len(part.counts) for part in parts]
        names = TileObjects.__dataclass_fields__
        facts = TileObjects(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
        return cls(tiles, np.cumsum([0, *sizes]), np.repeat(np.arange(len(tiles), dtype=np.int32), sizes), facts)

    def __len__(self) -> int:
        return len(self.tile_of)


def cluster(nodes: Nodes, edges: Mapping[tuple[Index, Index], Edges]) -> NDArray[np.int64]:
    """Unite nodes along edges, the best first, with two exceptions.

    - Two labels that touch in a box that two tiles saw: their tile saw that they are two.
    - A label that is whole in its tile with another label of that tile: there is no more of it to see.

    Returns
    -------
    array, (n,)
        0, 1, …: the same for nodes that are one object, numbered by their first nodes.
    """
    before = {tile.index: int(offset) - 1 for tile, offset in zip(nodes.tiles, nodes.offsets, strict=False)}
    pairs, apart, ious = [np.empty((0, 2), np.int64)], [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for a, b in sorted(edges):
        found = edges[a, b]
        pairs.append(found.pairs + np.array([before[a], before[b]]))
        apart += [found.apart_a + np.int64(before[a]), found.apart_b + np.int64(before[b])]
        ious.append(found.ious)
    order = np.argsort(-np.concatenate(ious), kind="stable")
    parents = np.arange(len(nodes))
    whole = nodes.facts.margins > 0
    _unite(np.concatenate(pairs)[order], np.concatenate(apart), nodes.tile_of, whole, parents)
    _flatten(parents)
    return parents


@njit(cache=True, nogil=True)
def _root(parents: Any, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _flatten(parents: Any) -> None:
    """Number the sets 0, 1, … in place: a root is the smallest of its set, so it comes before its members."""
    count = 0
    for i in range(len(parents)):
        if parents[i] == i:
            parents[i] = count
            count += 1
        else:
            parents[i] = parents[parents[i]]


@njit(cache=True, nogil=True)
def _unite(pairs: Any, apart: Any, tile_of: Any, whole: Any, parents: Any) -> None:
    """Kruskal with mutual exclusion.

    Each set keeps a chain of its nodes, and one of the nodes that its nodes are apart from. Chains are appended to each
    other when sets unite, and the shorter of two is what is looked through.
    """
    n = len(parents)
    after, last, size = np.full(n, -1, np.int64), np.arange(n), np.ones(n, np.int64)
    some_whole = whole.copy()
    first_foe, last_foe, foes = np.full(n, -1, np.int64), np.full(n, -1, np.int64), np.zeros(n, np.int64)
    after_foe = np.full(2 * len(apart), -1, np.int64)
    for k in range(2 * len(apart)):
        i = apart[k // 2, k % 2]
        if first_foe[i] < 0:
            first_foe[i] = k
        else:
            after_foe[last_foe[i]] = k
        last_foe[i] = k
        foes[i] += 1
    for e in range(len(pairs)):
        p, q = _root(parents, pairs[e, 0]), _root(parents, pairs[e, 1])
        if p == q:
            continue
        few, other = (p, q) if foes[p] <= foes[q] else (q, p)
        if _meets_foe(apart, after_foe, first_foe[few], other, parents):
            continue
        if (some_whole[p] or some_whole[q]) and _twice_in_a_tile(p, q, after, tile_of, whole):
            continue
        root, child = min(p, q), max(p, q)
        parents[child] = root
        after[last[root]] = child
        last[root] = last[child]
        size[root] += size[child]
        some_whole[root] |= some_whole[child]
        if foes[child]:
            if foes[root]:
                after_foe[last_foe[root]] = first_foe[child]
            else:
                first_foe[root] = first_foe[child]
            last_foe[root] = last_foe[child]
            foes[root] += foes[child]


@njit(cache=True, nogil=True)
def _meets_foe(apart: Any, after_foe: Any, k: int, other: int, parents: Any) -> bool:
    while k >= 0:
        if _root(parents, apart[k // 2, 1 - k % 2]) == other:
            return True
        k = after_foe[k]
    return False


@njit(cache=True, nogil=True)
def _twice_in_a_tile(p: int, q: int, after: Any, tile_of: Any, whole: Any) -> bool:
    """Whether uniting the sets of roots `p` and `q` would unite a whole label with another one of its tile."""
    i = p
    while i >= 0:
        j = q
        while j >= 0:
            if tile_of[i] == tile_of[j] and (whole[i] or whole[j]):
                return True
            j = after[j]
        i = after[i]
    return False
