"""What `Plane` keeps of a window: the samples, and coarser copies of them once somebody asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.plane.colours import lab
from promptile.models.basin.plane.ground import Ground
from promptile.models.basin.plane.resampling import blurred, halved, read
from promptile.models.protocols import View

OVERVIEW = 256
"""Samples along the longer side of the overview, at most."""
LEVELS = 6
"""The coarsest copy has samples 32 times as large."""


@dataclass(frozen=True, eq=False)
class Overview:
    """The whole window, coarse."""

    factor: int
    """Samples of the window per sample of the overview, along each axis."""
    colours: NDArray[np.float32]
    """``(c, y, x)``"""
    known: NDArray[np.bool_]
    """``(y, x)``"""

    @cached_property
    def edges(self) -> NDArray[np.float32]:
        """``(y, x)``: 0 to 1, the strongest edge within a sample."""
        down = np.diff(self.colours, axis=1, append=self.colours[:, -1:])
        right = np.diff(self.colours, append=self.colours[..., -1:])
        steep = np.sqrt(np.square(down).sum(axis=0) + np.square(right).sum(axis=0))
        usual = blurred(steep, 8.0)
        strongest: NDArray[np.float32] = ndimage.maximum_filter(steep / (steep + usual / 2 + np.float32(0.5)), 3)
        return strongest


@dataclass(frozen=True, eq=False)
class Sight:
    """A view, its pyramid and its ground. Two threads may both build them; they build the same."""

    view: View
    _ground: list[Ground] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """With the pyramid and the ground, whether or not they are there yet."""
        pyramid = (self.view.samples.nbytes + self.view.valid.nbytes * 5) * 4 // 3
        return pyramid + Ground.nbytes_of(self.view.shape)

    @cached_property
    def pyramid(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Per level the mean of the valid samples ``(c, y, x)`` and the share of valid ones ``(y, x)``."""
        whole = bool(self.view.valid.all())  # then nothing needs weighing
        share = self.view.valid.astype(np.float32)
        levels = [(self.view.samples if whole else self.view.samples * share, share)]
        while len(levels) < LEVELS and min(levels[-1][1].shape) > 1:
            samples, share = levels[-1]
            less = halved(share)
            mean = halved(samples) if whole else halved(samples * share) / np.maximum(less, np.float32(1e-6))
            levels.append((mean, less))
        return levels

    @property
    def ground(self) -> Ground:
        """What growing an object over the window needs."""
        if not self._ground:  # no `cached_property`: in Python 3.11 threads wait for one another there
            self._ground.append(Ground.of(self.view))
        return self._ground[0]

    @cached_property
    def overview(self) -> Overview:
        """The finest level of the pyramid that is small enough, or the coarsest."""
        sizes = [max(share.shape) for _, share in self.pyramid]
        level = next((i for i, n in enumerate(sizes) if n <= OVERVIEW), len(sizes) - 1)
        samples, share = self.pyramid[level]
        return Overview(2**level, blurred(lab(samples), 1.0), share > 0.5)

    def sample(self, level: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(c + 1, *y.shape)``: the samples of a level at places in level 0, and last the share of valid ones."""
        samples, share = self.pyramid[min(level, len(self.pyramid) - 1)]
        factor = 2 ** min(level, len(self.pyramid) - 1)
        down, right = ((p + 0.5) / factor - 0.5 for p in (y, x))
        inside = (y >= -0.5) & (x >= -0.5) & (y <= self.view.shape[0] - 0.5) & (x <= self.view.shape[1] - 0.5)
        seen = read(share[None], down, right) * inside
        return np.concatenate([read(samples, down, right), seen])
