"""Where outlines have vertices, whoever's they are: four bits per lattice point.

Lines are simplified and smoothed in *half steps*: the lattice point ``(r, c)`` is ``(2 r, 2 c)``, so that the middle of
an edge between two lattice points is a pair of integers too. On stairs of samples the line through the middles
is nearer to what was there than one through corners::

    X X . . . .        A step is an edge of one sample between corners that turn in opposite ways. In the line of
    X X X X . .        middles, each step shrinks to its middle, and its two corners vanish. The line moves by half
    X X X X X X        a sample at most, within the samples along each edge, so no two lines of middles meet.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.corners import EAST, NODE, SOUTH, Corners
from promptile.grid import Window

NODE_MARK = 8
"""A vertex where more than two outlines meet, or one on the frame of the image."""

_CORNER = 4
"""Any other vertex; `EAST` and `SOUTH` say where the sample is that differs from the other three."""

_ACROSS = EAST | SOUTH


class Sheet(NamedTuple):
    """Marks as kernels take them; outside there are none."""

    bits: NDArray[np.uint8]
    """``(rows, columns / 2)``: two lattice points in a byte."""
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
        self._columns = -(-reach.shape[1] // 2)
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
        mark = NODE_MARK if node else _CORNER | (corners.kind[i] & _ACROSS)
        right = col - sheet.col
        sheet.bits[row - sheet.row, right >> 1] |= np.uint8(mark << (4 * (right & 1)))


@njit(cache=True, nogil=True, inline="always")
def mark_at(sheet: Any, row: int, col: int) -> int:
    """The mark of a lattice point, 0 if it is no vertex."""
    down, right = row - sheet.row, col - sheet.col
    if down < 0 or right < 0 or down >= sheet.bits.shape[0] or right >> 1 >= sheet.bits.shape[1]:
        return 0
    return int(sheet.bits[down, right >> 1] >> (4 * (right & 1)) & 15)


@njit(cache=True, nogil=True)
def has_vertex(sheet: Any, down: int, right: int, middles: bool) -> bool:
    """Whether a line has a vertex at a place in half steps: the outlines, or the lines of `middles`."""
    row, col = down >> 1, right >> 1
    mark = mark_at(sheet, row, col)
    if not mark or (down & 1 and right & 1):
        return False
    if down & 1:
        return bool(middles and mark & _CORNER and mark & SOUTH and _is_partner(sheet, mark, row + 1, col))
    if right & 1:
        return bool(middles and mark & _CORNER and mark & EAST and _is_partner(sheet, mark, row, col + 1))
    if not middles or mark & NODE_MARK:
        return True
    below, after = row + (1 if mark & SOUTH else -1), col + (1 if mark & EAST else -1)
    return not (_is_partner(sheet, mark, below, col) or _is_partner(sheet, mark, row, after))


@njit(cache=True, nogil=True, inline="always")
def _is_partner(sheet: Any, mark: int, row: int, col: int) -> bool:
    """Whether a corner with this `mark` and the point next to it along one of its edges are the ends of a step."""
    return bool(mark_at(sheet, row, col) == mark ^ _ACROSS)
