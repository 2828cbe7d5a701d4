"""From tiles' objects to the objects of the whole level: ids, authors, and what each tile paints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.grid import Tile, Window
from promptile.stitching.joining import Nodes, cluster
from promptile.stitching.matching import Matches
from promptile.stitching.types import Index, TileObjects

PAINTS_NOTHING, PAINTS_CORE, PAINTS_ALL = 0, 1, 2
"""What a tile paints of an object: nothing (another tile saw it better), its core, all that it sees."""


@dataclass(frozen=True, eq=False)
class Roles:
    """What the local ids 0 .. n of one tile are in the whole: all that painting needs beside the labels."""

    ids: NDArray[np.uint32]
    """``(n + 1,)``: global id; 0 is background, or an object that was dropped."""
    ranks: NDArray[np.uint32]
    """``(n + 1,)``: of the objects, not of the tile; where two claim a sample, the smaller rank has it."""
    reach: NDArray[np.uint8]
    """``(n + 1,)``: `PAINTS_NOTHING`, `PAINTS_CORE` or `PAINTS_ALL`."""


@dataclass(frozen=True, eq=False)
class Joined:
    """The ``n`` objects of the whole level; row ``i`` is global id ``i + 1``."""

    roles: Mapping[Index, Roles]
    """Of each tile's local ids."""
    layers: NDArray[np.uint8]
    """``(n,)``"""
    scores: NDArray[np.float32]
    """``(n,)``: the author's; without an author the mean over the tiles, weighted by samples."""
    parents: NDArray[np.uint32]
    """``(n,)``: global id of the object one layer up that holds it, or 0."""
    tiles: NDArray[np.int32]
    """``(n,)``: how many tiles saw it."""
    authored: NDArray[np.bool_]
    """``(n,)``: whether a tile saw it whole, and so paints all of it."""

    def __len__(self) -> int:
        return len(self.layers)


def join(
    objects: Mapping[Tile, TileObjects], matches: Mapping[tuple[Index, Index], Matches], unknown: Sequence[Window] = ()
) -> Joined:
    """Give the objects of all tiles one numbering.

    The result depends neither on the order of `objects` nor on that of `matches`. Ids are dense and follow the objects'
    first samples in row-major order of the level. An object is dropped where other tiles know its ground better:
    no tile sees any of it in its own core; or all tiles see it cut, and either a tile whose window holds all that is
    known of it does not see it, or less than two fifths of what a tile sees of it lie in cores of tiles that see it.

    Parameters
    ----------
    objects : mapping of Tile to TileObjects
        All tiles that have an answer.
    matches : mapping of pairs of tile indices to Matches
        What `match` found for each of the `neighbours` among them.
    unknown : sequence of Window
        Cores of tiles that have no answer: nobody knows better there.
    """
    if not objects:
        nothing = np.empty(0, np.uint32)
        return Joined(
            {}, nothing.astype(np.uint8), nothing.astype(np.float32), nothing, nothing.view(np.int32), nothing > 0
        )
    nodes = Nodes.of(objects)
    sets = _Sets.of(nodes, cluster(nodes, matches))
    doubtful = sets.doubtful
    doubtful[_reaching(nodes, sets.of_nodes, unknown)] = False
    kept = np.flatnonzero((sets.owned > 0) & ~doubtful)
    kept = kept[np.argsort((sets.firsts[kept] << 8) + sets.layers[kept], kind="stable")]
    ids = np.zeros(len(sets.owned), np.uint32)
    ids[kept] = np.arange(1, len(kept) + 1)
    scores = sets.scores(nodes)
    ranks = np.zeros_like(ids)
    ranks[kept[sets.order(nodes, scores, kept)]] = np.arange(1, len(kept) + 1)
    return Joined(
        sets.roles(nodes, ids, ranks),
        sets.layers[kept],
        scores[kept],
        sets.parents(nodes, ids)[kept],
        sets.tiles[kept],
        sets.authors[kept] >= 0,
    )


def _reaching(nodes: Nodes, of_nodes: NDArray[np.int64], windows: Sequence[Window]) -> NDArray[np.int64]:
    """Sets with a node whose box meets one of the windows."""
    meets = np.zeros(len(nodes), bool)
    for window in windows:
        meets |= ((nodes.facts.boxes[:, 0] < window.stop) & (nodes.facts.boxes[:, 1] > window.start)).all(axis=1)
    return of_nodes[meets]


@dataclass(frozen=True, eq=False)
class _Sets:
    """What sets of nodes add up to."""

    of_nodes: NDArray[np.int64]
    """``(nodes,)``: which set each node is in."""
    counts: NDArray[np.int64]
    owned: NDArray[np.int64]
    doubtful: NDArray[np.bool_]
    """Where all tiles see it cut, and others know better; see `join`."""
    firsts: NDArray[np.int64]
    layers: NDArray[np.uint8]
    tiles: NDArray[np.int32]
    authors: NDArray[np.int64]
    """The node that saw the object best, or -1 where no tile saw it whole."""

    @classmethod
    def of(cls, nodes: Nodes, of_nodes: NDArray[np.int64]) -> _Sets:
        n, facts = int(of_nodes.max(initial=-1)) + 1, nodes.facts
        counts, largest, owned = np.zeros((3, n), np.int64)
        firsts, layers, tiles = np.full(n, np.iinfo(np.int64).max), np.zeros(n, np.uint8), np.zeros(n, np.int32)
        boxes = np.zeros((n, 2, facts.boxes.shape[2]), np.int32)
        seen = (facts.counts, facts.owned, facts.firsts, facts.layers, facts.boxes)
        _gather(of_nodes, nodes.tile_of, seen, counts, largest, owned, firsts, layers, tiles, boxes)
        outers = np.array([(tile.outer.start, tile.outer.stop) for tile in nodes.tiles], np.int32)
        authors = np.full(n, -1, np.int64)
        views = (facts.counts, facts.owned, facts.margins)
        _choose(of_nodes, nodes.tile_of, views, outers, boxes, authors)
        doubtful = (authors < 0) & (5 * owned < 2 * largest)
        _doubt(np.flatnonzero((authors < 0) & (owned > 0)), boxes, outers, doubtful)
        return cls(of_nodes, counts, owned, doubtful, firsts, layers, tiles, authors)

    def order(self, nodes: Nodes, scores: NDArray[np.float32], kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions in `kept`, the strongest claim first: larger margin (0: cut), then score, then position."""
        margins = np.where(self.authors >= 0, nodes.facts.margins[self.authors], 0)[kept].astype(np.int64)
        fine = np.rint(np.clip(scores[kept], 0, 1) * 0xFFFFFF).astype(np.int64)
        return np.argsort(-((margins << 24) + fine), kind="stable")

    def scores(self, nodes: Nodes) -> NDArray[np.float32]:
        facts, n = nodes.facts, len(self.counts)
        weighted = np.bincount(self.of_nodes, weights=facts.scores * facts.counts, minlength=n)
        means = weighted / np.maximum(self.counts, 1)
        return np.where(self.authors >= 0, facts.scores[self.authors], means).astype(np.float32)

    def parents(self, nodes: Nodes, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Each set's vote for a parent, by samples; an author has the casting vote."""
        local = nodes.facts.parents
        voters = np.flatnonzero(local > 0)
        above = nodes.offsets[nodes.tile_of[voters]] + local[voters] - 1
        named = ids[self.of_nodes[above]].astype(np.int64)
        sets = self.of_nodes[voters]
        votes = nodes.facts.counts[voters] + np.where(self.authors[sets] == voters, self.counts[sets], 0)
        packed, of_votes = np.unique((sets << 32) | named, return_inverse=True)
        totals = np.where(packed & 0xFFFFFFFF > 0, np.bincount(of_votes, weights=votes, minlength=len(packed)), 0)
        rising = np.lexsort((-packed, totals))  # of equal votes the smaller id comes last, and stays
        chosen = np.zeros(len(ids), np.uint32)
        chosen[packed[rising] >> 32] = packed[rising] & 0xFFFFFFFF
        return chosen

    def roles(self, nodes: Nodes, ids: NDArray[np.uint32], ranks: NDArray[np.uint32]) -> dict[Index, Roles]:
        reach = np.where(self.authors[self.of_nodes] < 0, PAINTS_CORE, PAINTS_NOTHING).astype(np.uint8)
        reach[self.authors[self.authors >= 0]] = PAINTS_ALL
        reach[ids[self.of_nodes] == 0] = PAINTS_NOTHING
        roles = {}
        for tile, start, stop in zip(nodes.tiles, nodes.offsets, nodes.offsets[1:], strict=False):
            sets = self.of_nodes[start:stop]
            roles[tile.index] = Roles(_from_1(ids[sets]), _from_1(ranks[sets]), _from_1(reach[start:stop]))
        return roles


def _from_1(values: NDArray[Any]) -> NDArray[Any]:
    """The same values at 1, 2, …, as local ids are, and a 0 for background."""
    return np.insert(values, 0, 0)


@njit(cache=True, nogil=True)
def _gather(
    of_nodes: Any,
    tile_of: Any,
    node_facts: Any,
    counts: Any,
    largest: Any,
    owned: Any,
    firsts: Any,
    layers: Any,
    tiles: Any,
    boxes: Any,
) -> None:
    """Sum up nodes, which come tile by tile, into their sets."""
    node_counts, node_owned, node_firsts, node_layers, node_boxes = node_facts
    last_tile = np.full(len(counts), -1, np.int32)
    for i in range(len(of_nodes)):
        s = of_nodes[i]
        if node_counts[i] == 0:
            continue
        if counts[s] == 0:
            boxes[s] = node_boxes[i]
            layers[s] = node_layers[i]
        counts[s] += node_counts[i]
        largest[s] = max(largest[s], node_counts[i])
        owned[s] += node_owned[i]
        firsts[s] = min(firsts[s], node_firsts[i])
        if last_tile[s] != tile_of[i]:
            last_tile[s] = tile_of[i]
            tiles[s] += 1
        for axis in range(boxes.shape[2]):
            boxes[s, 0, axis] = min(boxes[s, 0, axis], node_boxes[i, 0, axis])
            boxes[s, 1, axis] = max(boxes[s, 1, axis], node_boxes[i, 1, axis])


@njit(cache=True, nogil=True)
def _choose(of_nodes: Any, tile_of: Any, node_facts: Any, outers: Any, boxes: Any, authors: Any) -> None:
    """Of the nodes whose tile sees all of the set: the largest margin, then most samples in its core, then first."""
    node_counts, node_owned, margins = node_facts
    for i in range(len(of_nodes)):
        s, t = of_nodes[i], tile_of[i]
        if node_counts[i] == 0 or margins[i] == 0:
            continue
        sees_all = True
        for axis in range(boxes.shape[2]):
            if boxes[s, 0, axis] < outers[t, 0, axis] or boxes[s, 1, axis] > outers[t, 1, axis]:
                sees_all = False
        best = authors[s]
        if sees_all and (best < 0 or (margins[i], node_owned[i]) > (margins[best], node_owned[best])):
            authors[s] = i


@njit(cache=True, nogil=True)
def _doubt(cut: Any, boxes: Any, outers: Any, doubtful: Any) -> None:
    """Doubt cut objects that a tile would see whole: it would be their author, if it had seen them."""
    ends = np.zeros(outers.shape[2], np.int32)
    for t in range(len(outers)):
        ends = np.maximum(ends, outers[t, 1])
    for s in cut:
        for t in range(len(outers)):
            holds = True
            for axis in range(outers.shape[2]):
                start, stop = outers[t, 0, axis], outers[t, 1, axis]
                holds &= boxes[s, 0, axis] > start or start == 0
                holds &= boxes[s, 1, axis] < stop or stop == ends[axis]
            if holds:
                doubtful[s] = True
                break
