"""One object's answers from many windows, merged as logits and cut once.

Answers are kept as compressed 8-bit logits and their weights are whole numbers, so that the sum is
exact and does not depend on the order in which windows were predicted.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
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
        self._kept = _Kept(lattice.window_shape, 4**lattice.ndim)

    def __contains__(self, index: Index) -> bool:
        return index in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, index: Index, logits: NDArray[np.float32]) -> None:
        """Keep the logits of a window; an earlier answer of that window is replaced."""
        steps = logits * np.float32(_STEPS)
        np.clip(np.rint(steps, out=steps), -127, 127, out=steps)
        steps[(steps == 0) & (logits > 0)] = 1
        self._kept[index] = steps.astype(np.int8)

    def get(self, index: Index) -> NDArray[np.int8]:
        """The kept logits of a window, in steps."""
        return self._kept[index]

    def merged(self, window: Window, without: Container[Index] = ()) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Logits of a window cross-faded from all answers, and where there are any; 0 elsewhere."""
        total, weight = self._summed(window, without)
        known = weight > 0
        return (total / np.maximum(weight, 1) / _STEPS).astype(np.float32), known

    def _summed(self, window: Window, without: Container[Index]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Weighted steps and weights of a window, summed over all answers."""
        total = np.zeros(window.shape, np.int32)
        weight = np.zeros(window.shape, np.int32)
        for index in self._around(window):
            if index not in without:
                here, there = self._shared(index, window)
                faded = self._fade(index)[there]
                total[here] += faded * self.get(index)[there]
                weight[here] += faded
        return total, weight

    def _around(self, window: Window) -> list[Index]:
        return [index for index in self.lattice.around(window) if index in self]

    def _shared(self, index: Index, window: Window) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """What cuts the part that an answer shares with a window out of the window, and out of the answer."""
        outer = self.lattice[index]
        shared = outer & window
        return shared.within(window).slices, shared.within(outer).slices

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
        for index in self._kept:
            covered |= self.lattice[index]
        return covered

    def mask(self) -> ObjectMask:
        """The object: merged logits above 0."""

        def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
            for block in blocks_of(self.extent):
                yield block, self._inside(block.clip(self.lattice.shape))

        return ObjectMask.collect(self.lattice.shape, parts())

    def _inside(self, window: Window) -> NDArray[np.bool_]:
        """Where the merged logits are above 0: only their sign is asked for, and one answer alone has it."""
        around = self._around(window)
        if len(around) != 1:
            return self._summed(window, ())[0] > 0
        found = np.zeros(window.shape, bool)
        here, there = self._shared(around[0], window)
        found[here] = self.get(around[0])[there] > 0
        return found


class _Kept:
    """Steps of windows: those used last as they are, the others compressed.

    Parameters
    ----------
    shape : tuple of int
        Of a window.
    most : int
        How many are kept as they are; most objects need no more, and are never compressed.
    """

    def __init__(self, shape: tuple[int, ...], most: int) -> None:
        self._shape, self._most = shape, most
        self._fresh: OrderedDict[Index, NDArray[np.int8]] = OrderedDict()
        self._packed: dict[Index, bytes | None] = {}
        """None where the only copy is a fresh one."""

    def __contains__(self, index: Index) -> bool:
        return index in self._packed

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[Index]:
        return iter(self._packed)

    def __getitem__(self, index: Index) -> NDArray[np.int8]:
        if index not in self._fresh:
            packed = self._packed[index]
            steps = np.frombuffer(zlib.decompress(packed or b""), np.int8).reshape(self._shape)
            self._refresh(index, steps)
        self._fresh.move_to_end(index)
        return self._fresh[index]

    def __setitem__(self, index: Index, steps: NDArray[np.int8]) -> None:
        steps.flags.writeable = False
        self._packed[index] = None
        self._refresh(index, steps)
        self._fresh.move_to_end(index)

    def _refresh(self, index: Index, steps: NDArray[np.int8]) -> None:
        self._fresh[index] = steps
        if len(self._fresh) > self._most:
            oldest, used = self._fresh.popitem(last=False)
            if self._packed[oldest] is None:
                self._packed[oldest] = zlib.compress(used.tobytes(), 1)


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
