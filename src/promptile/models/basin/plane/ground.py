"""The ground: cells over a whole window and what their colours say, whichever object is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.colours import Palette
from promptile.models.basin.plane.features import Features
from promptile.models.basin.plane.frame import Frame
from promptile.models.protocols import View

MOST_CELLS = 640
"""Cells along the longer side of a window: a river of a few samples must stay one."""


@dataclass(frozen=True, eq=False)
class Ground:
    """One window, looked at; of its colours it keeps only what growing asks for."""

    frame: Frame
    known: NDArray[np.bool_]
    """``frame.shape``: False where the image has no sample."""
    palette: Palette
    links: NDArray[np.float32]
    """``(2, *frame.shape)``, see `Features.links`."""

    @classmethod
    def of(cls, view: View) -> Ground:
        frame = cls.frame_of(view.shape)
        features = Features.of(view, frame)
        return cls(frame, features.known, features.palette, features.links)

    @staticmethod
    def frame_of(window: tuple[int, ...]) -> Frame:
        cell = max(1.0, max(window) / MOST_CELLS)
        shape = tuple(int(np.ceil(n / cell)) for n in window)
        return Frame(np.full(2, -0.5), np.divide(window, shape), (shape[0], shape[1]), window)

    @staticmethod
    def nbytes_of(window: tuple[int, ...]) -> int:
        """What the ground of a window takes."""
        cells = int(np.prod(Ground.frame_of(window).shape))
        return cells * (np.dtype(bool).itemsize + np.dtype(np.uint8).itemsize + 2 * np.dtype(np.float32).itemsize)
