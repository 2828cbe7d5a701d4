"""Cut-outs: what an object's bounding box shows, at a level at which it is a few hundred pixels large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.rendering import Rendering
from promptile.sources.protocol import Source

SIDE = 448
"""Pixels along the longer side at most, where there is a level that is coarse enough: twice what rankers see."""


@dataclass(frozen=True, eq=False)
class Cutter:
    """Cuts objects out of an image as FastSAM does: what is around them in their bounding box stays.

    Parameters
    ----------
    source : Source
    rendering : Rendering
        How the image is shown.
    """

    source: Source
    rendering: Rendering

    def picture(self, box: Window, mask: Callable[[], ObjectMask]) -> NDArray[np.float32]:
        """``(3, rows, columns)``: an object, 0 to 1; white where the image has no data.

        Parameters
        ----------
        box : Window
            Its bounding box at level 0.
        mask : callable
            Gives its mask; asked for in volumes only, where the slice is shown that holds the most of it.
        """
        axis = None if box.ndim == 2 else int(np.argmax(self.source.grid.spacing))
        level = self._level(box, axis)
        window = self._at(box, level)
        if axis is not None:
            window = _slice(window, axis, self._fullest(box, mask(), axis) // self.source.levels[level][axis])
        shown = self.rendering.in_colour()
        valid = self.source.valid(window, level)
        colours = shown.apply(self.source.read(window, level, shown.channels), valid).clip(0, 1)
        picture = np.where(valid, colours, np.float32(1))
        return picture if axis is None else np.take(picture, 0, axis + 1)

    def _level(self, box: Window, axis: int | None) -> int:
        """The finest level at which the object is small enough, else the coarsest."""
        for level, factors in enumerate(self.source.levels):
            sides = [n / f for a, (n, f) in enumerate(zip(box.shape, factors, strict=True)) if a != axis]
            if max(sides) <= SIDE:
                return level
        return len(self.source.levels) - 1

    def _at(self, box: Window, level: int) -> Window:
        factors = self.source.levels[level]
        start = [a // f for a, f in zip(box.start, factors, strict=True)]
        stop = [-(-b // f) for b, f in zip(box.stop, factors, strict=True)]
        return Window.between(start, stop).clip(self.source.grid.coarsen(factors).shape)

    def _fullest(self, box: Window, mask: ObjectMask, axis: int) -> int:
        counts = np.zeros(box.shape[axis], np.int64)
        others = tuple(a for a in range(box.ndim) if a != axis)
        for window, samples in mask.blocks():
            here = window & box
            inside = samples[here.within(window).slices].sum(axis=others)
            first = here.start[axis] - box.start[axis]
            counts[first : first + len(inside)] += inside
        return box.start[axis] + int(np.argmax(counts))


def _slice(window: Window, axis: int, index: int) -> Window:
    start, shape = list(window.start), list(window.shape)
    start[axis], shape[axis] = min(max(index, window.start[axis]), window.stop[axis] - 1), 1
    return Window(tuple(start), tuple(shape))
