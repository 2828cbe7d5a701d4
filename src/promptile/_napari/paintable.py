"""Labels on disk as an array that napari can paint on.

napari's Labels layer paints, fills, erases and undoes by writing into its data. Here every such write stays in
memory, over what the disk holds, until somebody takes it as a `Stroke`.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from psygnal import Signal
from scipy import ndimage

from promptile._napari.indexing import box_of, indices_of
from promptile.grid import Window
from promptile.run.parts import LABEL_SIDE
from promptile.session.strokes import Stroke

Labels = NDArray[np.uint32]
Start = tuple[int, ...]

_IN_MEMORY = 2**29  # bytes of blocks that are kept only because they may be looked at again
_LARGEST = 2**22  # samples of the largest stroke that is joined of several


class Paintable:
    """Labels of which only the blocks in use are in memory; a numpy array to whoever indexes it.

    What is painted is shown at once. It is never forgotten before it is taken, and after that it stays on top of
    what is read until `changed` says that the disk holds something else there. Several threads may use it.

    Parameters
    ----------
    shape : sequence of int
    read : callable
        Reads the labels ``window.shape`` of a window from disk; slow.
    """

    painted = Signal()
    """Something was painted that waits to be taken."""

    dtype = np.dtype(np.uint32)

    def __init__(self, shape: Sequence[int], read: Callable[[Window], NDArray[Any]]) -> None:
        self.shape = tuple(int(n) for n in shape)
        self._read = read
        self._side = LABEL_SIDE[len(self.shape)]  # as on disk: each stored piece is decoded once
        self._blocks: OrderedDict[Start, Labels] = OrderedDict()
        self._before: dict[Start, Labels] = {}  # what blocks held when the painting on them began
        self._taken: list[Stroke] = []
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape}>"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the blocks."""
        return tuple(min(self._side, n) for n in self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.read(Window.of(self.shape)), dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> NDArray[Any]:
        """What a layer shows that napari duplicates: the labels of now, which are no run's any more."""
        return np.array(self)

    def __getitem__(self, key: Any) -> Any:
        box = box_of(key, self.shape)
        if box is not None:
            window, shape = box
            return self.read(window).reshape(shape)[()]
        indices = indices_of(key, self.shape)
        values = np.zeros(indices[0].shape, np.uint32)
        with self._lock:
            for start, chosen in self._blocks_at(indices):
                values[chosen] = self._block(start)[_inside(indices, chosen, start)]
        return values[()]

    def __setitem__(self, key: Any, value: Any) -> None:
        box = box_of(key, self.shape)
        if box is not None:
            window, shape = box
            self._paint_box(window, _spread(value, shape).reshape(window.shape))
        else:
            indices = indices_of(key, self.shape)
            self._paint_samples(indices, _spread(value, indices[0].shape))
        if self._before:
            self.painted.emit()

    def read(self, window: Window) -> Labels:
        """``window.shape``: the labels in a window as they are shown, in an array of their own."""
        labels = np.empty(window.shape, np.uint32)
        with self._lock:
            for block, shared in self._parts(window):
                labels[shared.within(window).slices] = self._block(block.start)[shared.within(block).slices]
        return labels

    def taken(self) -> list[Stroke]:
        """What was painted since the last time: a stroke for each place."""
        with self._lock:
            windows = []
            for start, before in self._before.items():
                for found in ndimage.find_objects((before != self._blocks[start]).view(np.uint8)):
                    window = Window.between([s.start for s in found], [s.stop for s in found])
                    windows.append(window.shift(start))
            strokes = [Stroke(w, self._read_before(w), self.read(w)) for w in _joined(windows)]
            self._before.clear()
            self._taken += [Stroke(s.window, s.before.copy(), s.after) for s in strokes]
            self._evict()
        return strokes

    def changed(self, window: Window) -> None:
        """Read a window anew: the disk holds other labels there. What is not yet taken stays on top of them."""
        with self._lock:
            self._taken = [stroke for stroke in self._taken if not _settled(stroke, window)]
            for start in [block.start for block, _ in self._parts(window) if block.start in self._blocks]:
                after, before = self._blocks.pop(start), self._before.pop(start, None)
                if before is not None:
                    painted = before != after
                    self._paint(start, painted, after[painted])

    def _read_before(self, window: Window) -> Labels:
        labels = self.read(window)
        for block, shared in self._parts(window):
            if block.start in self._before:
                before = self._before[block.start]
                labels[shared.within(window).slices] = before[shared.within(block).slices]
        return labels

    def _paint_box(self, window: Window, values: Labels) -> None:
        with self._lock:
            for block, shared in self._parts(window):
                self._paint(block.start, shared.within(block).slices, values[shared.within(window).slices])

    def _paint_samples(self, indices: tuple[NDArray[np.intp], ...], values: Labels) -> None:
        with self._lock:
            for start, chosen in self._blocks_at(indices):
                self._paint(start, _inside(indices, chosen, start), values[chosen])

    def _paint(self, start: Start, where: Any, values: Labels) -> None:
        block = self._block(start)
        if np.array_equal(block[where], values):
            return  # napari writes back all that it read
        if start not in self._before:
            self._before[start] = block
            self._blocks[start] = block = block.copy()
        block[where] = values

    def _block(self, start: Start) -> Labels:
        """A block's labels, cut at the array's end; not to be written to."""
        if start not in self._blocks:
            window = Window(start, (self._side,) * self.ndim).clip(self.shape)
            block = np.array(self._read(window), np.uint32)
            for stroke in self._taken:
                _paint_again(stroke, window, block)
            # most labels are 0 nearly everywhere: such blocks take no memory
            self._blocks[start] = block if block.any() else np.broadcast_to(np.uint32(0), window.shape)
            self._evict()
        self._blocks.move_to_end(start)
        return self._blocks[start]

    def _evict(self) -> None:
        """Forget the blocks that were looked at longest ago, but none with something to be taken, nor the last."""
        sizes = {start: block.nbytes for start, block in self._blocks.items() if any(block.strides)}
        excess = sum(sizes.values()) - _IN_MEMORY
        for start in list(sizes)[:-1]:
            if excess <= 0:
                return
            if start not in self._before:
                del self._blocks[start]
                excess -= sizes[start]

    def _parts(self, window: Window) -> Iterator[tuple[Window, Window]]:
        """The blocks that touch a window, each with what it shares with the window."""
        return blocks(window.clip(self.shape), self._side)

    def _blocks_at(self, indices: tuple[NDArray[np.intp], ...]) -> Iterator[tuple[Start, NDArray[np.bool_]]]:
        """The blocks that hold single samples: ``(start, which)``."""
        shape = tuple(-(-n // self._side) for n in self.shape)
        numbers = np.ravel_multi_index(tuple(i // self._side for i in indices), shape)
        for number in np.unique(numbers):
            start = tuple(int(i) * self._side for i in np.unravel_index(number, shape))
            yield start, numbers == number


class Part:
    """A window of labels, painted on through them.

    Parameters
    ----------
    whole : Paintable
    window : Window
    """

    dtype = Paintable.dtype

    def __init__(self, whole: Paintable, window: Window) -> None:
        self._whole, self.window = whole, window
        self.shape = window.shape
        self.ndim, self.size = window.ndim, window.size

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._whole.read(self.window), dtype)

    def __getitem__(self, key: Any) -> Any:
        box = box_of(key, self.shape)
        if box is None:
            return self._whole[self._indices(key)]
        return self._whole.read(box[0].shift(self.window.start)).reshape(box[1])[()]

    def __setitem__(self, key: Any, value: Any) -> None:
        box = box_of(key, self.shape)
        if box is None:
            self._whole[self._indices(key)] = value
        else:
            values = np.broadcast_to(value, box[1]).reshape(box[0].shape)
            self._whole[box[0].shift(self.window.start).slices] = values

    def _indices(self, key: Any) -> tuple[NDArray[np.intp], ...]:
        return tuple(i + first for i, first in zip(indices_of(key, self.shape), self.window.start, strict=True))


def blocks(window: Window, side: int) -> Iterator[tuple[Window, Window]]:
    """The blocks of a lattice from index 0 that touch a window, each with what it shares with the window."""
    spans = [range(a // side, -(-b // side)) for a, b in zip(window.start, window.stop, strict=True)]
    for index in itertools.product(*spans) if not window.empty else ():
        block = Window(tuple(i * side for i in index), (side,) * window.ndim)
        yield block, block & window


def _paint_again(stroke: Stroke, window: Window, labels: Labels) -> None:
    """Paint a stroke on the labels of another window."""
    shared = stroke.window & window
    here = shared.within(stroke.window).slices
    painted = stroke.before[here] != stroke.after[here]
    labels[shared.within(window).slices][painted] = stroke.after[here][painted]


def _settled(stroke: Stroke, window: Window) -> bool:
    """Forget what was painted in a window; whether nothing is left of the stroke."""
    here = (stroke.window & window).within(stroke.window).slices
    stroke.before[here] = stroke.after[here]
    return np.array_equal(stroke.before, stroke.after)


def _spread(value: Any, shape: tuple[int, ...]) -> Labels:
    """A value over a shape, as numpy would: broadcast, refused where it does not fit."""
    values = np.empty(shape, np.uint32)
    values[...] = value
    return values


def _inside(indices: tuple[NDArray[np.intp], ...], chosen: NDArray[np.bool_], start: Start) -> Any:
    """The chosen indices, seen from a block's start."""
    return tuple(axis[chosen] - first for axis, first in zip(indices, start, strict=True))


def _joined(windows: Sequence[Window]) -> list[Window]:
    """Windows that are parts of one thing, cut by the borders of blocks, as one."""
    joined: list[Window] = []
    for window in windows:
        for other in list(joined):
            both = window | other
            if both.size <= min(2 * (window.size + other.size), _LARGEST):
                joined.remove(other)
                window = both
        joined.append(window)
    return joined
