"""Overlapping objects as few label images in which none covers another."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.writers.protocol import Result

_MASKS = 64
"""Masks that are kept in memory while slabs are painted."""


class Stack:
    """The objects of a result in layers: those of one layer share no sample.

    Parameters
    ----------
    result : Result
    """

    def __init__(self, result: Result) -> None:
        self._result = result
        self.mask = lru_cache(maxsize=_MASKS)(result.mask)
        self.windows: dict[int, Window] = {}
        """Bounding box of each object that has samples, by id."""
        self.layers: dict[int, int] = {}
        """On which layer each of them lies, from 0."""
        for number in map(int, result.objects["id"]):
            mask = self.mask(number)
            if mask.count:
                self.windows[number] = mask.window
                self.layers[number] = self._free_layer(number, mask)

    @property
    def depth(self) -> int:
        """How many layers there are; at least one."""
        return max(self.layers.values(), default=0) + 1

    @property
    def window(self) -> Window:
        """The bounding box of all objects; empty without any."""
        whole = Window((0,) * self._result.grid.ndim, (0,) * self._result.grid.ndim)
        for window in self.windows.values():
            whole |= window
        return whole

    def read(self, window: Window) -> NDArray[np.uint32]:
        """``(depth, *window.shape)``: ids, 0 is background."""
        painted = np.zeros((self.depth, *window.shape), np.uint32)
        for number, box in self.windows.items():
            shared = box & window
            if not shared.empty:
                view = painted[self.layers[number]][shared.within(window).slices]
                view[self.mask(number).read(shared)] = number
        return painted

    def _free_layer(self, number: int, mask: ObjectMask) -> int:
        """The first layer on which nothing lies beneath an object."""
        if self._result.layers == 1:
            return 0
        taken = {
            self.layers[other]
            for other, box in self.windows.items()
            if other != number and not (box & mask.window).empty and self._meet(other, mask)
        }
        return next(layer for layer in range(len(taken) + 1) if layer not in taken)

    def _meet(self, other: int, mask: ObjectMask) -> bool:
        covered = self.mask(other)
        starts = covered.bits.keys() & mask.bits.keys()
        return any((covered.bits[start] & mask.bits[start]).any() for start in starts)
