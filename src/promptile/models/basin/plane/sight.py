"""What `Plane` keeps of a window: the samples, and coarser copies of them once somebody asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.plane.colours import lab
from promptile.models.basin.plane.ground import Ground
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
    edges: NDArray[np.float32]
    """``(y, x)``: 0 to 1, the strongest edge within a sample."""


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
            less = _halved(share)
            mean = _halved(samples) if whole else _halved(samples * share) / np.maximum(less, np.float32(1e-6))
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
        colours = ndimage.gaussian_filter(lab(samples), (0, 1, 1), mode="nearest")
        down, right = np.diff(colours, axis=1, append=colours[:, -1:]), np.diff(colours, append=colours[..., -1:])
        steep = np.sqrt(np.square(down).sum(axis=0) + np.square(right).sum(axis=0))
        usual = ndimage.gaussian_filter(steep, 8.0, mode="nearest")
        edges = ndimage.maximum_filter(steep / (steep + usual / 2 + np.float32(0.5)), 3)
        return Overview(2**level, colours, share > 0.5, edges)

    def sample(self, level: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(c + 1, *y.shape)``: the samples of a level at places in level 0, and last the share of valid ones."""
        samples, share = self.pyramid[min(level, len(self.pyramid) - 1)]
        factor = 2 ** min(level, len(self.pyramid) - 1)
        places = [(p + 0.5) / factor - 0.5 for p in (y, x)]
        found = [ndimage.map_coordinates(s, places, order=1, mode="nearest") for s in (*samples, share)]
        outside = (y < -0.5) | (x < -0.5) | (y > self.view.shape[0] - 0.5) | (x > self.view.shape[1] - 0.5)
        found[-1][outside] = 0
        return np.stack(found)


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 2 × 2 of the last two axes; an odd last line counts by itself."""
    odd = [(0, 0)] * (values.ndim - 2) + [(0, n % 2) for n in values.shape[-2:]]
    even = np.pad(values, odd, mode="edge") if any(n % 2 for n in values.shape[-2:]) else values
    rows = even[..., ::2, :] + even[..., 1::2, :]
    means: NDArray[np.float32] = (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)
    return means
