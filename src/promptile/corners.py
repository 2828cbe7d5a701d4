"""Corners of outlines along sample edges, found block by block: the kernel under `promptile.vectors`.

A lattice point ``(r, c)`` is the upper left corner of sample ``(r, c)``. It is a vertex of a label's outline exactly
where the 2 × 2 samples around it form a corner for that label, so corners are found locally and a straight edge,
however long, costs nothing::

    . .    . X    X X    X .              X X
    . X    . .    X .    . X: two corners  . .: none, the edge runs straight on
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

EAST = 1  # the horizontal edge goes east (not set: west)
SOUTH = 2  # the vertical edge goes south (not set: north)
CONVEX = 4  # one sample of the label lies in the corner (not set: all but one)
FREE = 8  # no other label meets the point, only background
NODE = 16  # more than two outlines meet at the point: those of three labels, or of two that touch diagonally


class Corners(NamedTuple):
    """Corners of one or many labels; all arrays have shape ``(n,)``.

    `trace` wants them sorted by label, then row, then column, and at one point west before east.
    """

    label: NDArray[np.int64]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    kind: NDArray[np.uint8]

    @classmethod
    def room(cls, count: int) -> Corners:
        """Arrays for `count` corners, not filled."""
        return cls(*(np.empty(count, t) for t in (np.int64, np.int32, np.int32, np.uint8)))  # type: ignore[arg-type]

    @classmethod
    def joined(cls, parts: Sequence[Corners]) -> Corners:
        """All corners of the parts, in their order."""
        return cls(*(np.concatenate(arrays) for arrays in zip(cls.room(0), *parts, strict=True)))

    def take(self, chosen: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Corners:
        return Corners(self.label[chosen], self.row[chosen], self.col[chosen], self.kind[chosen])

    def by_label(self) -> Corners:
        """Sorted by label and row; of one label and row they keep their order."""
        rows = self.take(_order(self.row))
        return rows.take(_order(rows.label))


class CornerScan:
    """Finds corners in blocks of labels, in one buffer that grows as needed."""

    def __init__(self) -> None:
        self._buffer = Corners.room(1 << 14)

    def __call__(self, padded: NDArray[Any], row: int, col: int) -> Corners:
        """Corners of the lattice points inside a block.

        Parameters
        ----------
        padded : ndarray of unsigned int, shape (h + 1, w + 1)
            Labels of the block, behind one row and one column of what lies above and left of it.
        row, col : int
            Index of the block's first sample.
        """
        found = _scan(padded, row, col, self._buffer)
        if found > len(self._buffer.row):
            self._buffer = Corners.room(2 * found)
            _scan(padded, row, col, self._buffer)
        return Corners.joined([self._buffer.take(slice(found))])


@njit(cache=True, nogil=True)
def _scan(padded: Any, row: int, col: int, out: Any) -> int:
    """Write the corners row by row, west before east; beyond the end of `out` only count them."""
    height, width = padded.shape
    found = 0
    around = np.empty(4, padded.dtype)
    for i in range(1, height):
        for j in range(1, width):
            a, b, c, d = padded[i - 1, j - 1], padded[i - 1, j], padded[i, j - 1], padded[i, j]
            if (a == b and c == d) or (a == c and b == d):
                continue
            around[0], around[1], around[2], around[3] = a, b, c, d
            node = np.uint8(NODE if _is_node(a, b, c, d) else 0)
            for k in range(4):
                value = around[k]
                if value == 0 or (k > 0 and a == value) or (k > 1 and b == value) or (k > 2 and c == value):
                    continue  # background, or a label that was handled already
                here = (a == value) + 2 * (b == value) + 4 * (c == value) + 8 * (d == value)
                rest = (a == 0) + 2 * (b == 0) + 4 * (c == 0) + 8 * (d == 0)
                flags = node | np.uint8(FREE if here + rest == 15 else 0)
                first, second = _KINDS[here, 0], _KINDS[here, 1]
                for kind in (first, second):
                    if kind == _NONE:
                        continue
                    if found < out.row.shape[0]:
                        out.label[found] = value
                        out.row[found] = row + i - 1
                        out.col[found] = col + j - 1
                        out.kind[found] = kind | flags
                    found += 1
    return found


@njit(cache=True, nogil=True, inline="always")
def _is_node(a: Any, b: Any, c: Any, d: Any) -> bool:
    """Whether three labels, or two on diagonals, are among a b / c d; where they are straight nobody asks."""
    return bool(not ((a == b and (c == a or d == a)) or (c == d and (a == c or b == c))))


@njit(cache=True, nogil=True)
def _order(keys: Any) -> Any:
    """The stable order that sorts integers of a narrow range, by counting."""
    low, high = keys.min() if len(keys) else 0, keys.max() if len(keys) else 0
    place = np.zeros(high - low + 2, np.int64)
    for key in keys:
        place[key - low + 1] += 1
    place = np.cumsum(place)
    order = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        order[place[keys[i] - low]] = i
        place[keys[i] - low] += 1
    return order


_NONE = 255


def _kinds() -> NDArray[np.uint8]:
    """Per set of samples (1 upper left, 2 upper right, 4 lower left, 8 lower right) the kinds of up to two corners."""
    towards = {1: 0, 2: EAST, 4: SOUTH, 8: EAST | SOUTH}
    kinds = np.full((16, 2), _NONE, np.uint8)
    for sample, kind in towards.items():
        kinds[sample, 0] = kind | CONVEX
        kinds[15 - sample, 0] = kind
    kinds[1 | 8] = towards[1] | CONVEX, towards[8] | CONVEX
    kinds[2 | 4] = towards[4] | CONVEX, towards[2] | CONVEX  # west before east
    return kinds


_KINDS = _kinds()
