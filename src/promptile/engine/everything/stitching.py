"""From the answers of a level's tiles to its label images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from promptile.engine.everything.table import Tally
from promptile.grid import Grid, Tile, Window
from promptile.measures import label_measures
from promptile.run.images import LabelImages
from promptile.run.parts import LABEL_SIDE
from promptile.run.tiles import TileStore
from promptile.stitching import Index, Matches, Painted, Roles, Seen, TileObjects, match, neighbours, paint

_SIDES = {2: (2, 2), 3: (1, 2, 2)}
"""How many stored pieces of a label image a block has along each axis: a block is painted at once, and tiles that
reach into several blocks are read for each of them."""


Pair = tuple[Index, Index]
"""Neighbouring tiles, the smaller index first."""

Shown = tuple[NDArray[np.uint16], NDArray[np.uint16]]
"""What the two tiles of a pair say about the ground that both saw."""


@dataclass(frozen=True)
class MatchTiles:
    """Work: compares what a tile and those neighbours that come after it say about the ground that both saw."""

    store: TileStore

    def read(self, pairs: Sequence[Pair]) -> list[Shown]:
        shown = []
        for a, b in pairs:
            box = self.store.tiles[a].outer & self.store.tiles[b].outer
            shown.append((self.store.read(a, box), self.store.read(b, box)))
        return shown

    def compute(self, _pairs: Sequence[Pair], shown: list[Shown]) -> list[Matches]:
        return [match(*both) for both in shown]

    def write(self, pairs: Sequence[Pair], matches: list[Matches]) -> dict[Pair, Matches]:
        return dict(zip(pairs, matches, strict=True))


def pairs_of(store: TileStore, objects: Mapping[Tile, TileObjects]) -> list[tuple[Pair, ...]]:
    """Neighbours that both have objects, those of one tile together: it is read for all of them."""
    some = {tile.index for tile, known in objects.items() if len(known.counts)}
    pairs = sorted((a, b) for a, b in neighbours(store.counts) if a in some and b in some)
    return [tuple(group) for _, group in itertools.groupby(pairs, key=itemgetter(0))]


@dataclass(frozen=True, eq=False)
class Block:
    """A part of a label image that is painted at once."""

    window: Window
    roles: Mapping[Index, Roles]
    """Of all tiles that see something of it."""


@dataclass(frozen=True)
class PaintBlocks:
    """Work: label images are painted block by block from the answers around.

    Parameters
    ----------
    store : TileStore
    images : LabelImages
        What is painted.
    grid : Grid
        Of the level.
    """

    store: TileStore
    images: LabelImages
    grid: Grid

    def read(self, block: Block) -> list[Seen]:
        found = []
        for index, roles in block.roles.items():
            tile = self.store.tiles[index]
            window = tile.outer & block.window
            found.append(Seen(tile, window, self.store.read(index, window), roles))
        return found

    def compute(self, block: Block, seen: list[Seen]) -> tuple[NDArray[np.uint32], Tally]:
        painted = paint(block.window, seen, self.store.layers, self.store.shape)
        return painted.labels, tally(painted, block.window, self.grid)

    def write(self, block: Block, answer: tuple[NDArray[np.uint32], Tally]) -> Tally:
        self.images.write(block.window, answer[0])
        return answer[1]


def tally(painted: Painted, window: Window, grid: Grid) -> Tally:
    """What a painted block adds to its objects."""
    measures = np.zeros(len(painted.ids))
    for labels in painted.labels:
        here = np.unique(labels[labels > 0]) if len(painted.labels) > 1 else painted.ids
        measures[np.searchsorted(painted.ids, here)] = label_measures(labels, window, grid, here)
    return Tally(painted.ids, painted.counts, painted.boxes, painted.firsts, measures)


@dataclass(frozen=True, eq=False)
class Renumber:
    """Work: label images are copied with other ids, block by block."""

    source: LabelImages
    target: LabelImages
    ids: NDArray[np.uint32]
    """New ids by old ones; the first is that of the background."""

    def read(self, window: Window) -> NDArray[np.uint32]:
        return self.source.read(window)

    def compute(self, _window: Window, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        return self.ids[labels]

    def write(self, window: Window, labels: NDArray[np.uint32]) -> None:
        self.target.write(window, labels)


def blocks_of(shape: Sequence[int]) -> list[Window]:
    """Blocks of whole stored pieces that cover a label image, row by row."""
    sides = [LABEL_SIDE[len(shape)] * n for n in _SIDES[len(shape)]]
    starts = itertools.product(*(range(0, n, side) for n, side in zip(shape, sides, strict=True)))
    return [Window(start, tuple(sides)).clip(shape) for start in starts]


def painted_blocks(
    store: TileStore, roles: Mapping[Index, Roles], ids: NDArray[np.uint32] | None = None
) -> list[Block]:
    """All blocks of a level's label images, with the roles of the tiles around.

    With `ids`, those of the objects are replaced: new ones by old ones.
    """
    if ids is not None:
        roles = {index: replace(each, ids=ids[each.ids]) for index, each in roles.items()}
    return [
        Block(window, {index: roles[index] for index in _around(store, window) if index in roles})
        for window in blocks_of(store.shape)
    ]


def _around(store: TileStore, window: Window) -> Iterator[Index]:
    """Tiles whose outer windows meet a window, in order."""
    spans = []
    for axis, count in enumerate(store.counts):
        first = [0] * len(store.counts)
        span = []
        for i in range(count):
            first[axis] = i
            outer = store.tiles[tuple(first)].outer
            if outer.start[axis] < window.stop[axis] and outer.stop[axis] > window.start[axis]:
                span.append(i)
        spans.append(span)
    return itertools.product(*spans)
