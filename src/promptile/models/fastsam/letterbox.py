"""`Letterbox`: where a window lies in the network's square input, and in its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window

GREY = 114 / 255
"""Around the window."""


@dataclass(frozen=True)
class Letterbox:
    """A window in the middle of a square, as large as fits.

    ::

        window 3 x 6       input of side 12
        +------+           +------------+
        |      |  -------> |    grey    |
        +------+           +------------+
                           |   window   | 6 x 12
                           +------------+
                           |    grey    |
                           +------------+

    Parameters
    ----------
    shape : (int, int)
        Of the window.
    side : int
        Of the square.
    """

    shape: tuple[int, int]
    side: int

    @property
    def gain(self) -> float:
        """Pixels of the square along one sample."""
        return min(self.side / n for n in self.shape)

    @property
    def offset(self) -> tuple[int, int]:
        """First row and column of the window; a pixel that is left over lies after it."""
        rows, columns = (round((self.side - n * self.gain) / 2 - 0.1) for n in self.shape)
        return rows, columns

    def image(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(c, side, side)``: samples ``(c, *shape)`` as the network sees them."""
        square = np.full((len(samples), self.side, self.side), GREY, np.float32)
        inner = tuple(max(1, round(n * self.gain)) for n in self.shape)
        starts = [round((self.side - n) / 2 - 0.1) for n in inner]
        slices = tuple(slice(start, start + n) for start, n in zip(starts, inner, strict=True))
        square[(slice(None), *slices)] = samples if inner == self.shape else resized(samples, inner, Window.of(inner))
        return square

    def boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(n, 2, 2)``: low and high corners, rows first, of pixel edges in the square as sample edges from 0 on."""
        low, high = np.float32(0), np.array(self.shape, np.float32)
        moved = boxes - np.array(self.offset, np.float32)
        return np.asarray(np.clip(moved / np.float32(self.gain), low, high), np.float32)

    def masks(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of maps ``(c, cells, cells)`` over the square that shows the window; whole cells, rounded down."""
        cells = maps.shape[-1]
        gain = min(cells / n for n in self.shape)
        pads = [(cells - n * gain) / 2 for n in self.shape]
        rows, columns = (slice(int(pad), int(cells - pad)) for pad in pads)
        return np.ascontiguousarray(maps[:, rows, columns])


def resized(maps: NDArray[np.float32], shape: Sequence[int], window: Window) -> NDArray[np.float32]:
    """``(c, *window.shape)``: a window of maps ``(c, rows, columns)`` spread bilinearly over a `shape`."""
    lows, highs, shares = zip(*(_taps(maps.shape[i + 1], shape[i], window, i) for i in (0, 1)), strict=True)
    upper, lower = maps[:, lows[0]], maps[:, highs[0]]
    between = upper + (lower - upper) * shares[0][:, None]
    left, right = between[..., lows[1]], between[..., highs[1]]
    spread: NDArray[np.float32] = left + (right - left) * shares[1]
    return spread


def _taps(
    given: int, wanted: int, window: Window, axis: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Cells before and after each sample of a window along one axis, and the share of the one after it."""
    samples = np.arange(window.start[axis], window.stop[axis], dtype=np.float32)
    places = np.maximum((samples + np.float32(0.5)) * np.float32(given / wanted) - np.float32(0.5), 0)
    low = np.minimum(places.astype(np.int64), given - 1)
    return low, np.minimum(low + 1, given - 1), (places - low).astype(np.float32)
