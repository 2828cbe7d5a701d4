"""`Frame`: all arithmetic between a window's samples and the pixels of a model's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_BOUND = 32.0
"""Logits of masks that go back in are not larger, as the authors have it."""


@dataclass(frozen=True)
class Frame:
    """Where a window lies in a model's input: stretched over all of it.

    ::

        window 3 x 6       input of side 12         index 0 is a sample's centre, in the window and in the input:
        +------+           +------------+
        |      |  -------> |            |           column 2 of 6  ->  (2 + 0.5) * 12 / 6 - 0.5 = 4.5
        +------+           |            |           row 1 of 3     ->  (1 + 0.5) * 12 / 3 - 0.5 = 5.5
                           |            |
                           +------------+

    Parameters
    ----------
    shape : (int, int)
        Of the window.
    side : int
        Of the model's input, in pixels.
    cells : int
        Along a side of a model's masks.
    """

    shape: tuple[int, int]
    side: int
    cells: int

    def places(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(..., 2)``: x and y in the input of ``(..., 2)`` index coordinates of the window, rows first."""
        return ((points + 0.5) * (self.side / np.array(self.shape)) - 0.5)[..., ::-1].astype(np.float32)

    def corners(self, box: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(4,)``: x and y of both corners of a box in the input; what lies beyond the window is cut off."""
        return self.places(np.clip(box, -0.5, np.subtract(self.shape, 0.5))).reshape(4)

    def image(self, samples: Tensor) -> Tensor:
        """``(c, side, side)``: samples ``(c, *shape)`` as the model sees them."""
        return _stretched(samples, self.side)

    def mask(self, logits: Tensor) -> Tensor:
        """``(1, cells, cells)``: logits of the window's `shape` as a mask that is given to the model."""
        return _stretched(logits[None], self.cells).clamp(-_BOUND, _BOUND)

    def back(self, logits: Tensor) -> Tensor:
        """``(p, m, *shape)``: a model's logits ``(p, m, cells, cells)`` on the window's own samples."""
        return functional.interpolate(logits, self.shape, mode="bilinear", align_corners=False)


def _stretched(x: Tensor, side: int) -> Tensor:
    if tuple(x.shape[1:]) == (side, side):
        return x
    return functional.interpolate(x[None], (side, side), mode="bilinear", align_corners=False, antialias=True)[0]
