"""Label images that are hard to stitch, models that answer with them tile by tile, and one way to stitch in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Tile, Window, tiles
from promptile.stitching import Joined, Painted, Seen, TileAnswer, join, match, neighbours, paint, summarise

Labels = NDArray[np.integer]
Model = Callable[[Labels, np.random.Generator], TileAnswer]


def components(labels: Labels) -> NDArray[np.int64]:
    """Connected pieces (8 / 26 neighbours) of each label, numbered by first sample in row-major order."""
    out = np.zeros(labels.shape, np.int64)
    for value in np.unique(labels[labels > 0]):
        found, _ = ndimage.label(labels == value, np.ones((3,) * labels.ndim))
        out = np.where(found > 0, found + out.max(), out)
    return renumber(out)


def renumber(labels: Labels) -> NDArray[np.int64]:
    """The same partition with ids 1, 2, … by first sample; 0 stays."""
    values, firsts, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(firsts[values > 0])
    table = np.zeros(len(values), np.int64)
    table[np.flatnonzero(values > 0)[order]] = np.arange(1, len(order) + 1)
    return table[inverse].reshape(labels.shape)


def noise(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Speckle of few labels: pieces that touch along faces and at corners only."""
    return rng.integers(0, int(rng.integers(2, 6)), shape)


def blobs(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Touching cells around random seeds, some of them background."""
    grid = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, len(shape))
    seeds = grid[rng.choice(len(grid), min(int(rng.integers(2, 25)), len(grid)), replace=False)]
    nearest = ((grid[:, None] - seeds) ** 2).sum(2).argmin(1)
    values = rng.permutation(len(seeds)) + 1
    values[rng.random(len(seeds)) < 0.2] = 0
    return values[nearest].reshape(shape)


def bands(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Bands of 1 to 4 samples across the whole scene, straight or wavy."""
    where = np.indices(shape).astype(float)
    along, across = rng.permutation(len(shape))[:2]
    wave = (
        where[across] + rng.uniform(0, 6) * np.sin(where[along] / rng.uniform(2, 9)) + rng.uniform(-1, 1) * where[along]
    )
    width, gap = int(rng.integers(1, 5)), int(rng.integers(0, 3))
    line, within = np.divmod(np.floor(wave - wave.min()), width + gap)
    return np.where(within < width, line + 1, 0).astype(np.int64)


def comb(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """A comb whose teeth meet at one end only, and what lies between them."""
    labels = np.full(shape, int(rng.integers(0, 3)))
    width = int(rng.integers(1, 4))
    axis = int(rng.integers(len(shape)))
    np.moveaxis(labels, axis, -1)[..., np.arange(shape[axis]) // width % 2 == 0] = 1
    np.moveaxis(labels, axis, 0)[:, : int(rng.integers(1, 3))] = 1
    return labels


def spiral(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """A spiral arm: any tile sees many pieces of it."""
    where = np.indices(shape).astype(float)
    y, x = where[-2] - shape[-2] / 2, where[-1] - shape[-1] / 2
    turn = np.hypot(y, x) / rng.uniform(1.5, 4) - np.arctan2(y, x) / (2 * np.pi) * 2
    if len(shape) == 3:
        turn += where[0] / rng.uniform(2, 6)
    return np.floor(turn).astype(np.int64) % int(rng.integers(2, 4))


def diagonals(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Lines that are connected by corners only, and cross each other so."""
    where = np.indices(shape)
    step = int(rng.integers(2, 9))
    labels = (where.sum(0) % step == 0).astype(np.int64)
    labels[(where[-1] - where[-2]) % (step + 1) == 0] = 2
    return labels


SCENES = (noise, blobs, bands, comb, spiral, diagonals)


def whole(view: Labels, rng: np.random.Generator) -> TileAnswer:
    """The truth in view, with ids that mean nothing beyond the tile."""
    return shuffled(renumber(view), rng)


def pieces(view: Labels, rng: np.random.Generator) -> TileAnswer:
    """The truth in view, each connected piece an object of its own."""
    return shuffled(components(view), rng)


def shuffled(labels: Labels, rng: np.random.Generator) -> TileAnswer:
    """An answer in one layer, with shuffled ids and one id that has no sample."""
    n = int(labels.max()) + 1
    ids = np.append(0, rng.permutation(n) + 1).astype(np.uint16)
    return TileAnswer(ids[labels][None], rng.random(n, np.float32), np.zeros(n, np.int32))


def stitch(
    answers: dict[Tile, TileAnswer],
    shape: tuple[int, ...],
    rng: np.random.Generator,
    blocks: Iterable[Window] | None = None,
) -> tuple[NDArray[np.uint32], Joined, list[Painted]]:
    """Summarise, match, join and paint in a random order of tiles and pairs."""
    order = [list(answers)[i] for i in rng.permutation(len(answers))]
    objects = {tile: summarise(answers[tile], tile, shape) for tile in order}
    at = {tile.index: tile for tile in order}
    counts = tuple(np.max(list(at), axis=0) + 1)
    pairs = list(neighbours(counts))
    edges = {}
    for k in rng.permutation(len(pairs)):
        a, b = (at[index] for index in pairs[k])
        box = a.outer & b.outer
        edges[pairs[k]] = match(
            *(answers[tile].labels[(slice(None), *box.within(tile.outer).slices)] for tile in (a, b))
        )
    joined = join(objects, edges)
    layers = len(answers[order[0]].labels)
    out = np.zeros((layers, *shape), np.uint32)
    painted = []
    for block in blocks or [Window.of(shape)]:
        near = [
            Seen(tile, tile.outer, answers[tile].labels, joined.roles[tile.index])
            for tile in order
            if not (tile.outer & block).empty
        ]
        painted.append(paint(block, near, layers, shape))
        out[(slice(None), *block.slices)] = painted[-1].labels
    return out, joined, painted


def answers_of(
    truth: Labels, size: Sequence[int], overlap: Sequence[int], model: Model, rng: np.random.Generator
) -> dict[Tile, TileAnswer]:
    return {tile: model(truth[tile.outer.slices], rng) for tile in tiles(truth.shape, size, overlap)}


def blocks_of(shape: tuple[int, ...], lengths: Sequence[int]) -> list[Window]:
    """A partition that has nothing to do with tiles."""
    starts = itertools.product(*(range(0, n, step) for n, step in zip(shape, lengths, strict=True)))
    return [Window(start, tuple(lengths)).clip(shape) for start in starts]
