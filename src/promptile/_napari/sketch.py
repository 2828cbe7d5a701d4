"""The box around an object, coarse enough to be drawn at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.engine.grow import Candidates
from promptile.grid import Window
from promptile.masks import BLOCK, ObjectMask, bounds_of

SHOWN = {2: 2**22, 3: 2**24}
"""Samples of a sketch at most, by number of dimensions."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """The box around an object, coarse enough to be drawn at once.

    Parameters
    ----------
    start : tuple of int
        Index of its first sample in the image.
    steps : tuple of int
        How many samples of the image one of its own covers, per axis.
    samples : ndarray of uint8
        1 where any of those belongs to the object.
    """

    start: tuple[int, ...]
    steps: tuple[int, ...]
    samples: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: ObjectMask) -> Sketch:
        """The finest sketch of a mask; may be called in any thread."""
        ndim, step = len(mask.shape), 1
        while (box := _coarse(mask.window, step)).size > SHOWN[ndim] and step < BLOCK[ndim]:
            step *= 2
        samples = np.zeros(box.shape if mask.count else (1,) * ndim, np.uint8)
        for block, inside in mask.blocks():
            for axis in range(ndim if step > 1 else 0):
                inside = np.logical_or.reduceat(inside, range(0, inside.shape[axis], step), axis)
            place = Window(tuple(a // step for a in block.start), inside.shape)
            shared = place & box
            samples[shared.within(box).slices] = inside[shared.within(place).slices]
        return cls(tuple(a * step for a in box.start), (step,) * ndim, samples)

    @classmethod
    def at_first(cls, candidates: Candidates, factors: Sequence[int]) -> Sketch:
        """What the first window shows of an object, at a level with these factors."""
        mask = candidates.masks.logits[candidates.taken] > 0
        inner = bounds_of(mask) if mask.any() else Window.of((1,) * mask.ndim)
        start = [(a + b) * f for a, b, f in zip(candidates.window.start, inner.start, factors, strict=True)]
        return cls(tuple(start), tuple(factors), mask[inner.slices].view(np.uint8))

    @property
    def window(self) -> Window:
        """What it covers, in index coordinates of the image; its last samples may lie outside."""
        return Window(self.start, tuple(n * step for n, step in zip(self.samples.shape, self.steps, strict=True)))

    def finer(self, steps: Sequence[int]) -> NDArray[np.uint8]:
        """Its samples, each repeated over the finer ones that it covers."""
        samples = self.samples
        for axis, (coarse, fine) in enumerate(zip(self.steps, steps, strict=True)):
            samples = samples.repeat(coarse // fine, axis) if coarse != fine else samples
        return samples


def _coarse(window: Window, step: int) -> Window:
    """The coarse samples that touch a window."""
    return Window.between([a // step for a in window.start], [-(-b // step) for b in window.stop])
