"""Where outlines have vertices, whoever's they are: two bits per lattice point."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.corners import NODE, Corners
from promptile.grid import Window

VERTEX = 1
NODE_MARK = 2
"""A vertex where more than two outlines meet, or one on the frame of the image."""


class Sheet(NamedTuple):
    """Marks as kernels take them; outside there are none."""

    bits: NDArray[np.uint8]
    """``(rows, columns / 4)``: four lattice points in a byte."""
    row: int
    col: int
    """Of the first point."""


class Marks:
    """The marks of a window of lattice points that moves down the image.

    Parameters
    ----------
    reach : Window
        All lattice points that will ever be marked.
    shape : tuple of int
        Of the image: where its frame is.
    """

    def __init__(self, reach: Window, shape: tuple[int, ...]) -> None:
        self._columns = -(-reach.shape[1] // 4)
        self._shape = shape
        self.sheet = Sheet(np.zeros((0, self._columns), np.uint8), *reach.start)

    def slide(self, low: int, high: int) -> None:
        """Keep the rows from `low`, and make room up to `high`, not included."""
        bits, row, col = self.sheet
        kept = bits[max(low - row, 0) :]
        low = max(low, row)
        moved = np.zeros((max(high - low, len(kept)), self._columns), np.uint8)
        moved[: len(kept)] = kept
        self.sheet = Sheet(moved, low, col)

    def add(self, corners: Corners) -> None:
        """Mark the points of all labels' corners."""
        _add(self.sheet, corners, *self._shape)


@njit(cache=True, nogil=True)
def _add(sheet: Any, corners: Any, height: int, width: int) -> None:
    for i in range(len(corners.row)):
        row, col = corners.row[i], corners.col[i]
        node = corners.kind[i] & NODE or row == 0 or col == 0 or row == height or col == width
        kind = VERTEX | NODE_MARK if node else VERTEX
        right = col - sheet.col
        sheet.bits[row - sheet.row, right >> 2] |= np.uint8(kind << (2 * (right & 3)))


@njit(cache=True, nogil=True, inline="always")
def mark_at(sheet: Any, row: int, col: int) -> int:
    """The mark of a lattice point: 0, `VERTEX`, or `VERTEX` and `NODE_MARK`."""
    down, right = row - sheet.row, col - sheet.col
    if down < 0 or right < 0 or down >= sheet.bits.shape[0] or right >> 2 >= sheet.bits.shape[1]:
        return 0
    return int(sheet.bits[down, right >> 2] >> (2 * (right & 3)) & 3)
