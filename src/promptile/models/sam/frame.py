"""`Frame`: all arithmetic between a window's samples and the pixels of a model's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

STEP = 4
"""Side of a mask's cell in pixels of the model's input."""
_OUTSIDE = -8.0
"""Logit of a mask where the model's input holds no image: certainly not object."""


@dataclass(frozen=True)
class Frame:
    """Where a window lies in a model's input: at its upper left, as large as fits, or stretched over all of it.

    ::

        window 3 x 6       input of side 12         index 0 is a sample's centre, in the window and in the input:
        +------+           +------------+
        |      |  -------> |   inner    | 6 x 12    index 2 of 6  ->  (2 + 0.5) * 12 / 6 - 0.5 = 4.5
        +------+           +------------+
                           |  nothing   |
                           +------------+

    Parameters
    ----------
    shape : (int, int)
        Of the window.
    side : int
        Of the model's input.
    stretch : bool
    """

    shape: tuple[int, int]
    side: int
    stretch: bool = False

    @property
    def inner(self) -> tuple[int, int]:
        """Rows and columns of the input that the window fills."""
        if self.stretch:
            return (self.side, self.side)
        rows, columns = (max(1, int(n * (self.side / max(self.shape)) + 0.5)) for n in self.shape)
        return rows, columns

    def places(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(..., 2)``: x and y in the input of ``(..., 2)`` index coordinates of the window, rows first."""
        scale = np.divide(self.inner, self.shape)
        return ((points + 0.5) * scale - 0.5)[..., ::-1].astype(np.float32)

    def corners(self, box: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(2, 2)``: the corners of a box in the input; what lies beyond the window is cut off."""
        return self.places(np.clip(box, -0.5, np.subtract(self.shape, 0.5)))

    def image(self, samples: Tensor) -> Tensor:
        """``(c, side, side)``: samples ``(c, *shape)`` as the model sees them; 0 where there are none."""
        # EfficientSAM learnt from images that were made smaller without smoothing.
        return self._padded(self._resized(samples, self.inner, smooth=not self.stretch), 0.0)

    def mask(self, logits: Tensor) -> Tensor:
        """``(1, side / 4, side / 4)``: logits of the window's `shape` as a mask that is given to the model."""
        fitted = self._padded(self._resized(logits[None], self.inner, smooth=True), _OUTSIDE)
        return functional.avg_pool2d(fitted[None], STEP)[0]

    def back(self, logits: Tensor) -> Tensor:
        """``(p, m, *shape)``: a model's logits ``(p, m, side / 4, side / 4)`` on the window's own samples."""
        if self.stretch:
            return functional.interpolate(logits, self.shape, mode="bicubic", align_corners=False)
        rows, columns = self.inner
        full = functional.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
        inner = full[..., :rows, :columns]
        if self.inner == self.shape:
            return inner
        return functional.interpolate(inner, self.shape, mode="bilinear", align_corners=False)

    def _resized(self, x: Tensor, shape: tuple[int, int], *, smooth: bool) -> Tensor:
        if tuple(x.shape[1:]) == shape:
            return x
        return functional.interpolate(x[None], shape, mode="bilinear", align_corners=False, antialias=smooth)[0]

    def _padded(self, x: Tensor, value: float) -> Tensor:
        rows, columns = self.inner
        return functional.pad(x, (0, self.side - columns, 0, self.side - rows), value=value)
