"""A frame: the piece of a window that an answer is about, resampled to cells whose number does not depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.resampling import Taps, gathered, spread
from promptile.models.protocols import View

INNER = 64
"""Cells along each side of the box."""
MARGIN = 12
"""Cells around the box: what is seen of the background."""
ON_BORDER = 0.5
"""Samples: a side nearer than this to the window's border lies on it."""
SIDE = INNER + 2 * MARGIN


@dataclass(frozen=True, eq=False)
class Frame:
    """Cells over a piece of a window, in the window's index coordinates.

    Parameters
    ----------
    low : ndarray, shape (2,)
        The corner of the first cell, on sample edges.
    cell : ndarray, shape (2,)
        Size of a cell in samples.
    shape : tuple of int
        Cells along each axis.
    window : tuple of int
        Samples of the window along each axis.
    """

    low: NDArray[np.float64]
    cell: NDArray[np.float64]
    shape: tuple[int, int]
    window: tuple[int, ...]

    @classmethod
    def around(cls, box: NDArray[np.float64], window: tuple[int, ...]) -> Frame:
        """The frame of a box: `INNER` cells along each of its sides and `MARGIN` around."""
        cell = np.maximum(box[1] - box[0], 1e-3) / INNER
        return cls(box[0] - MARGIN * cell, cell, (SIDE, SIDE), window)

    @property
    def ends(self) -> NDArray[np.bool_]:
        """``(2, 2)``: per axis whether the box's low and high side lie on the window's border, or beyond."""
        low = self.low + MARGIN * self.cell
        high = low + INNER * self.cell
        return np.stack([low <= ON_BORDER - 0.5, high >= np.subtract(self.window, 0.5 + ON_BORDER)], axis=1)

    @cached_property
    def piece(self) -> tuple[slice, slice]:
        """The samples of the window that the cells touch; at least one."""
        reach = self.cell + 1.0
        high = self.low + np.multiply(self.cell, self.shape)
        start = np.clip(np.floor(self.low - reach), 0, np.subtract(self.window, 1)).astype(int)
        stop = np.clip(np.ceil(high + reach) + 1, start + 1, self.window).astype(int)
        return slice(start[0], stop[0]), slice(start[1], stop[1])

    def centres(self, axis: int) -> NDArray[np.float64]:
        """Where the cells' centres are along an axis."""
        places: NDArray[np.float64] = self.low[axis] + (np.arange(self.shape[axis]) + 0.5) * self.cell[axis]
        return places

    def cells_of(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the window ``(n, 2)`` in index coordinates of the cells."""
        return (points - self.low) / self.cell - 0.5

    def gather(self, view: View) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The samples ``(c, *shape)`` and which cells the view knows ``shape``; the nearest sample elsewhere."""
        valid = view.valid[self.piece]
        if valid.all():
            seen = np.ones(self.shape, np.float32)
            cells = gathered(view.samples, None, self._corner, self._down)
        else:
            seen = self.pick(view.valid)
            cells = gathered(view.samples, view.valid, self._corner, self._down)
            cells /= np.maximum(seen, np.float32(1e-3))
        inside = [
            (c > -0.5 - self.cell[a] / 2) & (c < self.window[a] - 0.5 + self.cell[a] / 2)
            for a, c in ((0, self.centres(0)), (1, self.centres(1)))
        ]
        return cells, (seen > 0.5) & inside[0][:, None] & inside[1][None]

    def pick(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values of the window ``(y, x)`` at the cells."""
        picked: NDArray[np.float32] = gathered(values[self.piece].astype(np.float32)[None], None, (0, 0), self._down)[0]
        return picked

    def spread(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the cells at the samples of `piece`; the nearest cell where the piece is larger."""
        return spread(cells.astype(np.float32, copy=False), self._up)

    @property
    def _corner(self) -> tuple[int, int]:
        return self.piece[0].start, self.piece[1].start

    @cached_property
    def _down(self) -> tuple[Taps, Taps]:
        rows, columns = (
            Taps.tents(self.centres(a) - s.start, s.stop - s.start, max(1.0, self.cell[a]))
            for a, s in enumerate(self.piece)
        )
        return rows, columns

    @cached_property
    def _up(self) -> tuple[Taps, Taps]:
        rows, columns = (
            Taps.tents(
                (np.arange(s.start, s.stop) - self.low[a]) / self.cell[a] - 0.5,
                self.shape[a],
                max(1.0, self.cell[a]) / self.cell[a],
            )
            for a, s in enumerate(self.piece)
        )
        return rows, columns
