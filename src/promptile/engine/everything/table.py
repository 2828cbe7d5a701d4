"""What is known of each object, added up over the blocks it was painted in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promptile.grid import Grid, Window
from promptile.measures import measure_name
from promptile.stitching import Joined


@dataclass(frozen=True, eq=False)
class Known:
    """What the tiles say of ``n`` objects; row ``i`` is id ``i + 1``."""

    scores: NDArray[np.float32]
    layers: NDArray[np.uint8]
    parents: NDArray[np.uint32]
    """Ids of the objects one layer up that hold them, or 0."""
    tiles: NDArray[np.int32]
    """How many tiles saw them."""
    levels: NDArray[np.uint8]
    """At which level they were found."""
    authored: NDArray[np.bool_]
    """Whether a tile saw them whole."""

    @classmethod
    def of(cls, joined: Joined, level: int) -> Known:
        levels = np.full(len(joined), level, np.uint8)
        return cls(joined.scores, joined.layers, joined.parents, joined.tiles, levels, joined.authored)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[np.int64]) -> Known:
        return Known(*(getattr(self, field.name)[rows] for field in fields(self)))

    def followed_by(self, other: Known) -> Known:
        return Known(*(np.concatenate([getattr(side, field.name) for side in (self, other)]) for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Tally:
    """What was painted of the ``m`` objects of one block."""

    ids: NDArray[np.uint32]
    """``(m,)``"""
    counts: NDArray[np.int64]
    """``(m,)``: samples."""
    boxes: NDArray[np.int32]
    """``(m, 2, ndim)``: first sample and the one after the last, in index coordinates of the level."""
    firsts: NDArray[np.int64]
    """``(m,)``: smallest row-major position of a sample in the level."""
    measures: NDArray[np.float64]
    """``(m,)``: area or volume."""


class Totals:
    """Tallies of blocks, added up by object.

    The last bit of a sum of measures depends on the order of its terms: add blocks in their order.

    Parameters
    ----------
    count : int
        Number of objects, with ids from 1.
    ndim : int
    """

    def __init__(self, count: int, ndim: int) -> None:
        self.counts = np.zeros(count, np.int64)
        self.measures = np.zeros(count)
        self.boxes = np.zeros((count, 2, ndim), np.int64)
        self.boxes[:, 0] = np.iinfo(np.int64).max
        self.firsts = np.full(count, np.iinfo(np.int64).max)

    @classmethod
    def sum(cls, count: int, ndim: int, tallies: Mapping[Window, Tally]) -> Totals:
        """The totals of all blocks, whatever the order in which they were painted."""
        totals = cls(count, ndim)
        for _, tally in sorted(tallies.items(), key=lambda item: item[0]):
            totals.add(tally)
        return totals

    def add(self, tally: Tally) -> None:
        rows = tally.ids.astype(np.int64) - 1
        self.counts[rows] += tally.counts
        self.measures[rows] += tally.measures
        self.boxes[rows, 0] = np.minimum(self.boxes[rows, 0], tally.boxes[:, 0])
        self.boxes[rows, 1] = np.maximum(self.boxes[rows, 1], tally.boxes[:, 1])
        self.firsts[rows] = np.minimum(self.firsts[rows], tally.firsts)

    def order(self, known: Known, least: int = 1) -> NDArray[np.int64]:
        """Rows of the objects with at least so many samples, by their first ones; wholes before their parts."""
        painted = np.flatnonzero(self.counts >= max(least, 1))
        return painted[np.lexsort((painted, known.layers[painted], self.firsts[painted]))]


def dense_ids(order: NDArray[np.int64], count: int) -> NDArray[np.uint32]:
    """``(count + 1,)``: new ids by old ones for objects in this order; 0 for the background and the others."""
    ids = np.zeros(count + 1, np.uint32)
    ids[order + 1] = np.arange(1, len(order) + 1)
    return ids


def objects_table(
    known: Known, totals: Totals, order: NDArray[np.int64], grid: Grid, *, hierarchy: bool, scales: bool
) -> pd.DataFrame:
    """The table of the objects in this order, with dense ids."""
    boxes, ids = totals.boxes[order], dense_ids(order, len(known))
    columns = {
        "id": ids[order + 1],
        "category": "",
        "score": known.scores[order].astype(float),
        measure_name(grid): totals.measures[order],
        "prompt": "everything",
        "tiles": known.tiles[order],
        "touches_edge": (boxes[:, 0] == 0).any(axis=1) | (boxes[:, 1] == grid.shape).any(axis=1),
        "open_edge": False,
    }
    if hierarchy:
        columns |= {"layer": known.layers[order], "parent": ids[known.parents[order]]}
    if scales:
        columns["level"] = known.levels[order]
    frame = pd.DataFrame(columns)
    frame["bbox"] = list(boxes.reshape(len(boxes), 2 * grid.ndim))
    return frame
