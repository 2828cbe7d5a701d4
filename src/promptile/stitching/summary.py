"""What is known of a tile's objects: counted in one pass over its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.grid import Tile
from promptile.stitching.types import TileAnswer, TileObjects

WHOLE = int(np.iinfo(np.int32).max)
"""Margin of an object in a tile that no border cuts."""


def summarise(answer: TileAnswer, tile: Tile, shape: tuple[int, ...]) -> TileObjects:
    """What the record of a tile keeps of its objects.

    Parameters
    ----------
    answer : TileAnswer
        With labels over ``tile.outer``. Ids without a sample are allowed: their count is 0.
    tile : Tile
    shape : tuple of int
        Of the whole level.
    """
    n, ndim = len(answer.scores), len(shape)
    if answer.labels.size and int(answer.labels.max()) > n:
        raise ValueError(f"labels go up to {int(answer.labels.max())}, but there are {n} scores")
    layers = np.zeros(n, np.uint8)
    counts, owned = np.zeros((2, n), np.int64)
    firsts = np.full(n, np.iinfo(np.int64).max)
    low, high = np.full((n, 3), WHOLE, np.int32), np.zeros((n, 3), np.int32)
    core = tile.core.within(tile.outer)
    ground = np.array([solid(core.start, 0), solid(core.stop, 1), solid(tile.outer.start, 0), solid(shape, 1)])
    for layer, labels in enumerate(answer.labels):
        _count(labels.reshape(solid(labels.shape, 1)), layer, ground, layers, counts, owned, firsts, low, high)
    boxes = np.stack([low, high], axis=1)[:, :, 3 - ndim :]
    boxes[counts == 0] = 0
    boxes[counts > 0] += np.asarray(tile.outer.start, np.int32)
    margins = _margins(boxes, tile, shape)
    return TileObjects(layers, answer.scores, answer.parents, counts, owned, boxes, firsts, margins)


def solid(values: tuple[int, ...], fill: int) -> tuple[int, ...]:
    """Values per axis as ``(z, y, x)``, with `fill` on the axes that an image lacks."""
    return (fill,) * (3 - len(values)) + tuple(values)


def _margins(boxes: NDArray[np.int32], tile: Tile, shape: tuple[int, ...]) -> NDArray[np.int32]:
    margins = np.full(len(boxes), WHOLE, np.int32)
    for axis, (start, stop, length) in enumerate(zip(tile.outer.start, tile.outer.stop, shape, strict=True)):
        if start > 0:
            np.minimum(margins, boxes[:, 0, axis] - start, out=margins)
        if stop < length:
            np.minimum(margins, stop - boxes[:, 1, axis], out=margins)
    return margins


@njit(cache=True, nogil=True)
def _count(
    labels: Any, layer: int, ground: Any, layers: Any, counts: Any, owned: Any, firsts: Any, low: Any, high: Any
) -> None:
    """Add the objects of one layer ``(z, y, x)``, run by run; `ground`: core start and stop, offset, level's shape."""
    nz, ny, nx = labels.shape
    for z in range(nz):
        for y in range(ny):
            inside = ground[0, 0] <= z < ground[1, 0] and ground[0, 1] <= y < ground[1, 1]
            row = ((z + ground[2, 0]) * ground[3, 1] + y + ground[2, 1]) * ground[3, 2] + ground[2, 2]
            x = 0
            while x < nx:
                label = labels[z, y, x]
                begin = x
                x += 1
                while x < nx and labels[z, y, x] == label:
                    x += 1
                if label == 0:
                    continue
                i = np.int64(label) - 1
                if counts[i] == 0:
                    layers[i] = layer
                    firsts[i] = row + begin
                counts[i] += x - begin
                if inside:
                    owned[i] += max(0, min(x, ground[1, 2]) - max(begin, ground[0, 2]))
                low[i, 0], high[i, 0] = min(low[i, 0], z), max(high[i, 0], z + 1)
                low[i, 1], high[i, 1] = min(low[i, 1], y), max(high[i, 1], y + 1)
                low[i, 2], high[i, 2] = min(low[i, 2], begin), max(high[i, 2], x)
