"""`Fit`: where a window lies in the input of a network that a card describes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OUTSIDE = -8.0
"""Logit of a mask where the input holds no image: certainly not object."""


@dataclass(frozen=True)
class Fit:
    """A window in a square input; an index is a sample's centre, in the window and in the input.

    Parameters
    ----------
    shape : (int, int)
        Of the window.
    side : int
        Of the input.
    kind : str
        One of `FITS`.
    """

    shape: tuple[int, int]
    side: int
    kind: str

    @property
    def inner(self) -> tuple[int, int]:
        """Rows and columns of the input that the window fills."""
        if self.kind == "stretch":
            return (self.side, self.side)
        rows, columns = (max(1, int(n * (self.side / max(self.shape)) + 0.5)) for n in self.shape)
        return rows, columns

    @property
    def start(self) -> tuple[int, int]:
        """First row and column of the input that the window fills."""
        if self.kind != "letterbox":
            return (0, 0)
        rows, columns = ((self.side - n) // 2 for n in self.inner)
        return rows, columns

    def places(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(..., 2)``: x and y in the input of ``(..., 2)`` index coordinates of the window, rows first."""
        scale = np.divide(self.inner, self.shape)
        return ((points + 0.5) * scale - 0.5 + self.start)[..., ::-1].astype(np.float32)

    def corners(self, box: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(2, 2)``: the corners of a box in the input; what lies beyond the window is cut off."""
        return self.places(np.clip(box, -0.5, np.subtract(self.shape, 0.5)))

    def image(self, samples: NDArray[np.float32], outside: float = 0.0) -> NDArray[np.float32]:
        """``(c, side, side)``: samples ``(c, *shape)`` as the network sees them."""
        square = np.full((len(samples), self.side, self.side), outside, np.float32)
        square[(slice(None), *self._filled)] = resized(samples, self.inner)
        return square

    def mask(self, logits: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """`shape`: logits of the window's shape as a mask that is given to the decoder."""
        (mask,) = resized(self.image(logits[None], OUTSIDE), shape, Image.Resampling.BOX)
        return np.asarray(mask, np.float32)

    def back(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(m, *self.shape)``: logits ``(m, rows, columns)`` over the whole input on the window's own samples."""
        if self.kind == "stretch":
            return sampled(logits, self.shape)
        full = sampled(logits, (self.side, self.side))
        return sampled(full[(slice(None), *self._filled)], self.shape)

    @property
    def _filled(self) -> tuple[slice, ...]:
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.inner, strict=True))


def resized(
    maps: NDArray[np.float32], shape: tuple[int, int], way: Image.Resampling = Image.Resampling.BILINEAR
) -> NDArray[np.float32]:
    """``(c, *shape)``; what is made smaller is averaged over all that it stands for."""
    if maps.shape[1:] == shape:
        return maps
    images = (Image.fromarray(np.ascontiguousarray(one, np.float32)) for one in maps)
    return np.stack([np.asarray(image.resize(shape[::-1], way), np.float32) for image in images])


def sampled(maps: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """``(c, *shape)``: bilinear, also where it is made smaller."""
    for axis, wanted in enumerate(shape, start=1):
        given = maps.shape[axis]
        if given == wanted:
            continue
        places = ((np.arange(wanted) + 0.5) * (given / wanted) - 0.5).clip(0, given - 1)
        low = places.astype(np.int64)
        share = (places - low).astype(np.float32).reshape(-1, *[1] * (2 - axis))
        before, after = (maps.take(np.minimum(i, given - 1), axis) for i in (low, low + 1))
        maps = before + (after - before) * share
    return maps
