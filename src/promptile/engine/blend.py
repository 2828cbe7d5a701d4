"""One object's answers from many windows, merged as logits and cut once.

Answers are kept as compressed 8-bit logits and their weights are whole numbers, so that the sum is
exact and does not depend on the order in which windows were predicted.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from promptile.engine.lattice import Index, Lattice
from promptile.grid import Window
from promptile.masks import ObjectMask, blocks_of

_STEPS = 16
"""Steps per unit of logit: 8 bits reach from -7.9 to 7.9, a probability of 0.0004 to 0.9996."""

_WEIGHTS = {2: 256, 3: 32}
"""Largest weight per axis: weight x logit summed over the windows of a sample stays below 2**31."""


class Answers:
    """The accepted answers for one object at one level.

    Parameters
    ----------
    lattice : Lattice
    """

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self._packed: dict[Index, bytes] = {}
        self._unpack = lru_cache(maxsize=4**lattice.ndim)(self._decompress)

    def __contains__(self, index: Index) -> bool:
        return index in self._packed

    def __len__(self) -> int:
        return len(self._packed)

    def put(self, index: Index, logits: NDArray[np.float32]) -> None:
        """Keep the logits of a window; an earlier answer of that window is replaced."""
        steps = np.rint(logits * _STEPS)
        steps = np.where((steps == 0) & (logits > 0), 1, np.clip(steps, -127, 127)).astype(np.int8)
        self._packed[index] = zlib.compress(steps.tobytes(), 1)
        self._unpack.cache_clear()

    def get(self, index: Index) -> NDArray[np.int8]:
        """The kept logits of a window, in steps."""
        logits: NDArray[np.int8] = self._unpack(index)
        return logits

    def _decompress(self, index: Index) -> NDArray[np.int8]:
        return np.frombuffer(zlib.decompress(self._packed[index]), np.int8).reshape(self.lattice.window_shape)

    def merged(self, window: Window, without: Container[Index] = ()) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Logits of a window cross-faded from all answers, and where there are any; 0 elsewhere."""
        total = np.zeros(window.shape, np.int32)
        weight = np.zeros(window.shape, np.int32)
        for index in self.lattice.around(window):
            if index in self._packed and index not in without:
                outer = self.lattice[index]
                shared = outer & window
                here, there = shared.within(window).slices, shared.within(outer).slices
                faded = self._fade(index)[there]
                total[here] += faded * self.get(index)[there]
                weight[here] += faded
        known = weight > 0
        return (total / np.maximum(weight, 1) / _STEPS).astype(np.float32), known

    def _fade(self, index: Index) -> NDArray[np.int32]:
        """Weights of a window: they rise from 1 at the borders inside the image over the overlap."""
        cut = tuple(
            (self.lattice.beside(index, axis, -1) is not None, self.lattice.beside(index, axis, 1) is not None)
            for axis in range(self.lattice.ndim)
        )
        return _fade(self.lattice.window_shape, self.lattice.overlap, cut)

    @property
    def extent(self) -> Window:
        """The smallest window that covers all answers."""
        covered = Window((0,) * self.lattice.ndim, (0,) * self.lattice.ndim)
        for index in self._packed:
            covered |= self.lattice[index]
        return covered

    def mask(self) -> ObjectMask:
        """The object: merged logits above 0."""

        def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
            for block in blocks_of(self.extent):
                yield block, self.merged(block.clip(self.lattice.shape))[0] > 0

        return ObjectMask.collect(self.lattice.shape, parts())


@lru_cache(maxsize=64)
def _fade(shape: tuple[int, ...], overlap: tuple[int, ...], cut: tuple[tuple[bool, bool], ...]) -> NDArray[np.int32]:
    top = _WEIGHTS[len(shape)]
    weights = np.ones(shape, np.int32)
    for axis, (length, ramp, (before, after)) in enumerate(zip(shape, overlap, cut, strict=True)):
        place = np.arange(length)
        depth = np.full(length, ramp)
        if before:
            depth = np.minimum(depth, place)
        if after:
            depth = np.minimum(depth, length - 1 - place)
        line = 1 + (top - 1) * depth // ramp
        weights *= line.astype(np.int32).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return weights
