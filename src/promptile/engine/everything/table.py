"""What is known of each object, added up over the blocks it was painted in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promptile.grid import Grid
from promptile.measures import measure_name
from promptile.stitching import Joined


@dataclass(frozen=True, eq=False)
class Tally:
    """What was painted of the ``m`` objects of one block."""

    ids: NDArray[np.uint32]
    """``(m,)``"""
    counts: NDArray[np.int64]
    """``(m,)``: samples."""
    boxes: NDArray[np.int32]
    """``(m, 2, ndim)``: first sample and the one after the last, in index coordinates of the level."""
    measures: NDArray[np.float64]
    """``(m,)``: area or volume."""


class Totals:
    """Tallies of blocks, added up by object.

    Sums of measures depend on the order of their terms in the last bit, so that they are added in the order of blocks.

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

    def add(self, tally: Tally) -> None:
        rows = tally.ids.astype(np.int64) - 1
        self.counts[rows] += tally.counts
        self.measures[rows] += tally.measures
        self.boxes[rows, 0] = np.minimum(self.boxes[rows, 0], tally.boxes[:, 0])
        self.boxes[rows, 1] = np.maximum(self.boxes[rows, 1], tally.boxes[:, 1])

    @property
    def dense(self) -> NDArray[np.uint32]:
        """New ids by old ones, without those of objects that were painted nowhere; the first is the background's."""
        painted = self.counts > 0
        ids = np.where(painted, np.cumsum(painted), 0)
        return np.concatenate([[0], ids]).astype(np.uint32)


def objects_table(joined: Joined, totals: Totals, grid: Grid, *, hierarchy: bool) -> pd.DataFrame:
    """The table of the objects that were painted, with dense ids."""
    shown = np.flatnonzero(totals.counts > 0)
    boxes, dense = totals.boxes[shown], totals.dense
    edge = (boxes[:, 0] == 0).any(axis=1) | (boxes[:, 1] == grid.shape).any(axis=1)
    columns = {
        "id": dense[shown + 1],
        "category": "",
        "score": joined.scores[shown].astype(float),
        measure_name(grid): totals.measures[shown],
        "prompt": "everything",
        "tiles": joined.tiles[shown],
        "touches_edge": edge,
        "open_edge": False,
    }
    if hierarchy:
        columns |= {"layer": joined.layers[shown], "parent": dense[joined.parents[shown]]}
    frame = pd.DataFrame(columns)
    frame["bbox"] = list(boxes.reshape(len(boxes), -1))
    return frame
