"""Small holes that hold nothing but background are filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.vectors.marks import Sheet, mark_at
from promptile.vectors.rings import Rings


def filled(rings: Rings, sheet: Sheet, largest: NDArray[np.float64]) -> Rings:
    """The rings without holes of background. A hole that another object touches, if only at a corner, is kept.

    Parameters
    ----------
    rings : Rings
        On lattice points.
    sheet : Sheet
        All vertices within the bounding boxes of the polygons.
    largest : ndarray, shape (rings,)
        Up to which area, in samples, a ring that is a hole is filled.
    """
    asked = rings.hole & rings.free & (rings.areas() <= largest)
    kept = np.ones(len(rings.hole), bool)
    for ring in np.flatnonzero(asked):
        kept[ring] = not _is_background(rings.points[rings.starts[ring] : rings.starts[ring + 1]], sheet)
    return rings.take(np.flatnonzero(kept))


@njit(cache=True, nogil=True)
def _is_background(ring: Any, sheet: Any) -> bool:
    """Whether no outline runs through a hole whose corners meet background only: none begins on its edges or inside."""
    for i in range(len(ring) - 1):
        down, right = np.sign(ring[i + 1, 0] - ring[i, 0]), np.sign(ring[i + 1, 1] - ring[i, 1])
        row, col = ring[i, 0] + down, ring[i, 1] + right
        while row != ring[i + 1, 0] or col != ring[i + 1, 1]:
            if mark_at(sheet, row, col):
                return False
            row, col = row + down, col + right
    for row in range(ring[:, 0].min() + 1, ring[:, 0].max()):
        for col in range(ring[:, 1].min() + 1, ring[:, 1].max()):
            if mark_at(sheet, row, col) and _around(ring, row, col):
                return False
    return True


@njit(cache=True, nogil=True)
def _around(ring: Any, row: int, col: int) -> bool:
    """Whether all four samples that meet at a lattice point lie in the ring."""
    for down in range(2):
        for right in range(2):
            inside = False
            for i in range(len(ring) - 1):
                over = min(ring[i, 0], ring[i + 1, 0]) < row + down <= max(ring[i, 0], ring[i + 1, 0])
                if over and ring[i, 1] < col + right:
                    inside = not inside
            if not inside:
                return False
    return True
