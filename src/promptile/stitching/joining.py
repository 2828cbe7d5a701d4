"""Which objects of all tiles are one: matches joined best first, unless a tile saw that they are two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.grid import Tile
from promptile.stitching.matching import Matches
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


def cluster(nodes: Nodes, matches: Mapping[tuple[Index, Index], Matches]) -> NDArray[np.int64]:
    """Unite nodes along matches, the best first, with two exceptions.

    - Two labels that touch in a box that two tiles saw: their tile saw that they are two.
    - A label that is whole in its tile with another label of that tile: there is no more of it to see.

    Returns
    -------
    array, (n,)
        0, 1, …: the same for nodes that are one object, numbered by their first nodes.
    """
    before = {tile.index: int(offset) - 1 for tile, offset in zip(nodes.tiles, nodes.offsets, strict=False)}
    steps = [(matches[a, b], np.array([before[a], before[b]])) for a, b in sorted(matches)]
    roots = np.arange(len(nodes))
    for found, offset in steps:
        _unite(found.pairs, offset[0], offset[1], roots)
    _settle(roots)
    whole = nodes.facts.margins > 0
    # Where all matches together contradict no tile, their order does not matter; and that is almost everywhere.
    doubtful = np.zeros(len(nodes), np.bool_)
    _mark_twice(roots, nodes.tile_of, whole, doubtful)
    for found, offset in steps:
        _mark_apart(found.apart_a, offset[0], roots, doubtful)
        _mark_apart(found.apart_b, offset[1], roots, doubtful)
    doubtful = doubtful[roots]
    if doubtful.any():
        roots[doubtful] = _unite_with_care(nodes, doubtful, steps)
    _number(roots)
    return roots


def _unite_with_care(
    nodes: Nodes, doubtful: NDArray[np.bool_], steps: list[tuple[Matches, NDArray[np.int64]]]
) -> NDArray[np.int64]:
    """The first node that each doubtful node is one object with."""
    pairs, apart, ious = [], [], []
    for found, offset in steps:
        among = doubtful[found.pairs[:, 0] + offset[0]]
        pairs.append(found.pairs[among] + offset)
        ious.append(found.ious[among])
        for own in (found.apart_a + offset[0], found.apart_b + offset[1]):
            apart.append(own[doubtful[own].all(axis=1)])
    order = np.argsort(-np.concatenate(ious), kind="stable")
    which = np.flatnonzero(doubtful)
    roots = np.arange(len(which))
    _unite_or_refuse(
        np.searchsorted(which, np.concatenate(pairs)[order]),
        np.searchsorted(which, np.concatenate(apart)),
        nodes.tile_of[which],
        nodes.facts.margins[which] > 0,
        roots,
    )
    _settle(roots)
    return which[roots]


@njit(cache=True, nogil=True)
def _root(roots: Any, i: int) -> int:
    while roots[i] != i:
        roots[i] = roots[roots[i]]
        i = roots[i]
    return i


@njit(cache=True, nogil=True)
def _unite(pairs: Any, before_a: int, before_b: int, roots: Any) -> None:
    for e in range(len(pairs)):
        p, q = _root(roots, pairs[e, 0] + before_a), _root(roots, pairs[e, 1] + before_b)
        roots[max(p, q)] = min(p, q)


@njit(cache=True, nogil=True)
def _settle(roots: Any) -> None:
    """Point all nodes at their roots; a root is the smallest of its set, so it comes before its members."""
    for i in range(len(roots)):
        roots[i] = roots[roots[i]]


@njit(cache=True, nogil=True)
def _number(roots: Any) -> None:
    """Number settled sets 0, 1, … in place."""
    count = 0
    for i in range(len(roots)):
        if roots[i] == i:
            roots[i] = count
            count += 1
        else:
            roots[i] = roots[roots[i]]


@njit(cache=True, nogil=True)
def _mark_apart(apart: Any, before: int, roots: Any, doubtful: Any) -> None:
    for k in range(len(apart)):
        p = roots[apart[k, 0] + before]
        if p == roots[apart[k, 1] + before]:
            doubtful[p] = True


@njit(cache=True, nogil=True)
def _mark_twice(roots: Any, tile_of: Any, whole: Any, doubtful: Any) -> None:
    """Mark sets in which a whole label meets another one of its tile; nodes come tile by tile."""
    last = np.full(len(roots), -1, np.int32)
    last_whole = np.zeros(len(roots), np.bool_)
    for i in range(len(roots)):
        p = roots[i]
        if last[p] != tile_of[i]:
            last[p] = tile_of[i]
            last_whole[p] = whole[i]
        else:
            last_whole[p] |= whole[i]
            doubtful[p] |= last_whole[p]


@njit(cache=True, nogil=True)
def _unite_or_refuse(pairs: Any, apart: Any, tile_of: Any, whole: Any, roots: Any) -> None:
    """Kruskal with mutual exclusion.

    Each set keeps a chain of its nodes, and one of the nodes that its nodes are apart from. Chains are appended to each
    other when sets unite, and the shorter of two is what is looked through.
    """
    n = len(roots)
    after, last = np.full(n, -1, np.int64), np.arange(n)
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
        p, q = _root(roots, pairs[e, 0]), _root(roots, pairs[e, 1])
        if p == q:
            continue
        few, other = (p, q) if foes[p] <= foes[q] else (q, p)
        if _meets_foe(apart, after_foe, first_foe[few], other, roots):
            continue
        if (some_whole[p] or some_whole[q]) and _twice_in_a_tile(p, q, after, tile_of, whole):
            continue
        root, child = min(p, q), max(p, q)
        roots[child] = root
        after[last[root]] = child
        last[root] = last[child]
        some_whole[root] |= some_whole[child]
        if foes[child]:
            if foes[root]:
                after_foe[last_foe[root]] = first_foe[child]
            else:
                first_foe[root] = first_foe[child]
            last_foe[root] = last_foe[child]
            foes[root] += foes[child]


@njit(cache=True, nogil=True)
def _meets_foe(apart: Any, after_foe: Any, k: int, other: int, roots: Any) -> bool:
    while k >= 0:
        if _root(roots, apart[k // 2, 1 - k % 2]) == other:
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
