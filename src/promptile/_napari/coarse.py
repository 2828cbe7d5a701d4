"""Labels at coarse levels, read off the GUI thread.

From afar, each sample on the screen stands for many in the file, and reading them all takes seconds. So a level
shows what has been read of it, at first nothing, and the rest is read elsewhere and drawn when it is there.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile._napari.lazy import LazyArray
from promptile._napari.paintable import blocks
from promptile.grid import Window

Later = Callable[[Callable[[], Any], Callable[[Any], None]], None]
"""Does the first elsewhere, then gives what came out to the second on the GUI thread."""

_BLOCKS = 256  # of a level, in memory: 256 MB if there are labels everywhere
_SIDE = {2: 512, 3: 64}
_AT_ONCE = 2**25  # samples of level 0 that are read in one go: a tenth of a second


def in_background(work: Callable[[], Any], then: Callable[[Any], None]) -> None:
    """Work in one of napari's threads."""
    from napari.qt.threading import create_worker  # a viewer without a window needs no Qt

    create_worker(work, _connect={"returned": then})


class Level:
    """One coarse level.

    Parameters
    ----------
    shape : tuple of int
    factors : tuple of int
        Samples of level 0 per sample, along each axis.
    whole : bool
        Whether all of it is one block, which is always in memory.
    """

    def __init__(self, shape: tuple[int, ...], factors: tuple[int, ...], *, whole: bool) -> None:
        self.shape, self.factors = shape, factors
        self.wanted: dict[Window, None] = {}
        self.hidden: Window | None = None
        self._side = max(shape) if whole else _SIDE[len(shape)]
        self._blocks: OrderedDict[tuple[int, ...], NDArray[np.uint32]] = OrderedDict()
        self._lock = threading.Lock()
        # napari keeps the array that it makes of the coarsest level: it must be the one that is filled
        self.array: Any = self._block(Window.of(shape)) if whole else LazyArray(shape, np.uint32, self.read)

    def read(self, window: Window) -> NDArray[np.uint32]:
        """What is known in a window, 0 elsewhere; the rest is wanted from now on."""
        labels = np.zeros(window.shape, np.uint32)
        with self._lock:
            for block, shared in self._parts(window):
                known = self._block(block)
                labels[shared.within(window).slices] = known[shared.within(block).slices]
        if self.hidden:
            labels[(self.hidden & window).within(window).slices] = 0
        return labels

    def fill(self, window: Window, labels: NDArray[np.uint32]) -> bool:
        """Take in what was read, unless nobody has looked there for a long time; whether it is something new."""
        new = False
        with self._lock:
            for block, shared in self._parts(window):
                if block.start in self._blocks:
                    known = self._blocks[block.start][shared.within(block).slices]
                    found = labels[shared.within(window).slices]
                    if not np.array_equal(known, found):  # zeros that are not written take no memory
                        known[...] = found
                        new = True
        return new

    def changed(self, window: Window) -> None:
        """Want what is known in a window of level 0 anew."""
        with self._lock:
            for block, shared in self._parts(self.window(window)):
                if block.start in self._blocks:
                    self.wanted[shared] = None

    def pop(self) -> Window:
        """A part of what was wanted last, small enough to be read in one go."""
        most = _AT_ONCE // math.prod(self.factors)
        with self._lock:
            window, _ = self.wanted.popitem()
            while window.size > max(most, 1):
                longest = int(np.argmax(window.shape))
                half = [n // 2 if axis == longest else n for axis, n in enumerate(window.shape)]
                first = Window(window.start, tuple(half))
                rest = list(first.start)
                rest[longest] = first.stop[longest]
                self.wanted[Window.between(rest, window.stop)] = None
                window = first
        return window

    def window(self, window: Window) -> Window:
        """The samples that a window of level 0 touches."""
        low = [a // f for a, f in zip(window.start, self.factors, strict=True)]
        return Window.between(low, [-(-b // f) for b, f in zip(window.stop, self.factors, strict=True)])

    def _block(self, block: Window) -> NDArray[np.uint32]:
        if block.start not in self._blocks:
            inside = block.clip(self.shape)
            self._blocks[block.start] = np.zeros(inside.shape, np.uint32)
            self.wanted[inside] = None
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block.start)
        return self._blocks[block.start]

    def _parts(self, window: Window) -> Iterator[tuple[Window, Window]]:
        return blocks(window.clip(self.shape), self._side)


class Pyramid:
    """The coarse levels of one label image, from fine to coarse.

    Parameters
    ----------
    shape : tuple of int
        Of level 0.
    levels : sequence of tuple of int
        Factors per axis; the last level is kept in memory as a whole.
    read : callable
        ``read(factors, window)``: labels of a window of a coarse level, from disk.
    filled : callable
        Called with a level and a window of it where other labels are known now; on the GUI thread.
    later : callable
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: Sequence[tuple[int, ...]],
        read: Callable[[tuple[int, ...], Window], NDArray[np.uint32]],
        filled: Callable[[Level, Window], None],
        later: Later = in_background,
    ) -> None:
        shapes = [tuple(-(-n // f) for n, f in zip(shape, factors, strict=True)) for factors in levels]
        last = len(levels) - 1
        self.levels = [Level(s, f, whole=i == last) for i, (s, f) in enumerate(zip(shapes, levels, strict=True))]
        self._read, self._filled, self._later = read, filled, later
        self._busy = self._closed = False

    def changed(self, window: Window) -> None:
        """Want a window of level 0 anew, wherever it is known."""
        for level in self.levels:
            level.changed(window)

    def hide(self, window: Window | None) -> None:
        """Show no labels in a window of level 0."""
        for level in self.levels:
            level.hidden = window and level.window(window)

    def go_on(self) -> None:
        """Begin to read what is wanted, what was wanted last first; on the GUI thread, and not while slicing."""
        level = next((level for level in self.levels if level.wanted), None)
        if self._busy or self._closed or level is None:
            return
        self._busy = True
        window = level.pop()
        self._later(lambda: self._read(level.factors, window), lambda labels: self._take_in(level, window, labels))

    def close(self) -> None:
        """Read nothing more."""
        self._closed = True

    def _take_in(self, level: Level, window: Window, labels: NDArray[np.uint32]) -> None:
        self._busy = False
        if self._closed:
            return
        if level.fill(window, labels):
            self._filled(level, window)
        self.go_on()
