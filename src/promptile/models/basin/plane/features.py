"""What is computed of a frame before any hypothesis: colours, palette, where edges run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.colours import Palette, adapted, lab
from promptile.models.basin.plane.frame import Frame
from promptile.models.basin.plane.resampling import blurred
from promptile.models.protocols import View

THROUGH = 0.03
"""Link across the strongest edge, compared with one between like colours."""
SMOOTH = 1.0
"""Cells: blur before anything is compared."""
COLOURS = 20
BLUR = 6.0
"""Steps of `lab` within which colours count as alike."""
NEIGHBOURHOOD = 5.0
"""Cells: an edge is strong compared with what lies this near."""
GRAIN = 2.0
"""Steps of `lab` per cell, squared: gradients below it are noise."""


@dataclass(frozen=True, eq=False)
class Features:
    """One frame, looked at."""

    colours: NDArray[np.float32]
    """``(c, *shape)``"""
    known: NDArray[np.bool_]
    """``shape``: False where the image has no sample."""
    palette: Palette

    @classmethod
    def of(cls, view: View, frame: Frame) -> Features:
        cells, known = frame.gather(view)
        colours = blurred(adapted(lab(cells), known), SMOOTH)
        return cls(colours, known, Palette.of(colours, COLOURS, BLUR))

    @cached_property
    def edges(self) -> NDArray[np.float32]:
        """``(3, *shape)``: structure tensor (yy, xy, xx), its trace about 1 on the strongest edge nearby."""
        down, right = np.gradient(self.colours, axis=(1, 2))
        tensor = np.stack([(down * down).sum(axis=0), (down * right).sum(axis=0), (right * right).sum(axis=0)])
        around = blurred(tensor[0] + tensor[2], NEIGHBOURHOOD)
        scaled: NDArray[np.float32] = tensor / (around + np.float32(GRAIN))
        return scaled

    @cached_property
    def links(self) -> NDArray[np.float32]:
        """``(2, *shape)``: along each axis how much a cell and the next one are taken for the same thing."""
        apart = np.zeros((2, *self.known.shape), np.float32)
        apart[0, :-1] = np.square(np.diff(self.colours, axis=1)).sum(axis=0)
        apart[1, :, :-1] = np.square(np.diff(self.colours, axis=2)).sum(axis=0)
        apart *= -1 / (apart.mean() + np.float32(1e-3))
        np.exp(apart, out=apart)
        apart += np.float32(THROUGH)
        return apart
