"""What stitching takes and gives: answers of tiles, what is known of their objects, and one numbering for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Index = tuple[int, ...]
"""Position of a tile among the tiles, in array order."""

LOCAL = np.uint16
"""Type of the ids inside one tile."""


@dataclass(frozen=True, eq=False)
class TileAnswer:
    """The objects that a model sees in one tile.

    Each layer is a partition: no two objects of a layer share a sample. One layer unless a hierarchy was asked for;
    then layer 0 holds wholes, layer 1 their parts, and so on.
    """

    labels: NDArray[np.uint16]
    """``(layers, *outer.shape)``: local ids 1 .. n, each in one layer only; 0 is background."""
    scores: NDArray[np.float32]
    """``(n,)``: of ids 1 .. n."""
    parents: NDArray[np.int32]
    """``(n,)``: local id of the object one layer up that holds it, or 0."""


@dataclass(frozen=True, eq=False)
class TileObjects:
    """What is known of the ``n`` objects of one tile without its labels; row ``i`` is local id ``i + 1``.

    This is what a tile's record keeps, and all that joining needs beside the matches.
    """

    layers: NDArray[np.uint8]
    """``(n,)``"""
    scores: NDArray[np.float32]
    """``(n,)``"""
    parents: NDArray[np.int32]
    """``(n,)``: local ids, 0 is none."""
    counts: NDArray[np.int64]
    """``(n,)``: samples in the outer window."""
    owned: NDArray[np.int64]
    """``(n,)``: samples in the core."""
    boxes: NDArray[np.int32]
    """``(n, 2, ndim)``: first sample and the one after the last, in index coordinates of the level."""
    firsts: NDArray[np.int64]
    """``(n,)``: smallest row-major position of a sample in the whole level."""
    margins: NDArray[np.int32]
    """``(n,)``: samples between the object and the nearest border at which the tile cuts the image; 0 is cut.
    The largest int32 where no border cuts."""
