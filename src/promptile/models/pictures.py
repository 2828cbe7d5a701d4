"""Pictures in eight bits, as networks were shown them when they learnt; resized as their authors do."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptile.errors import ModelError
from promptile.models.protocols import View

Picture = NDArray[np.uint8]
"""``(rows, columns, 3)``"""

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
WHITE = 255


def picture_of(view: View, model: str) -> Picture:
    """What a view shows: the visible range in 256 steps; grey is shown in all three channels.

    Raises
    ------
    ModelError
        If it has neither 1 nor 3 channels.
    """
    if len(view.samples) not in (1, 3):
        raise ModelError(f"Model {model!r} takes 1 or 3 channels, not {len(view.samples)}: use --channels")
    return in_steps(np.asarray(view.samples, np.float32))


def in_steps(samples: NDArray[np.float32]) -> Picture:
    """Samples ``(1 or 3, rows, columns)``, 0 to 1, in 256 steps."""
    steps = np.rint(samples.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(steps, 0, -1), (*samples.shape[1:], 3)))


def resized(picture: Picture, shape: tuple[int, int], filter: Literal["bilinear", "bicubic"]) -> Picture:
    """A picture of another shape; what is made smaller is averaged over all that it stands for."""
    if picture.shape[:2] == shape:
        return picture
    return np.asarray(Image.fromarray(picture).resize(shape[::-1], _FILTERS[filter]))


def squared(picture: Picture) -> Picture:
    """A picture in the middle of a white square."""
    side = max(picture.shape[:2])
    canvas = np.full((side, side, 3), WHITE, np.uint8)
    top, left = ((side - n) // 2 for n in picture.shape[:2])
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas
