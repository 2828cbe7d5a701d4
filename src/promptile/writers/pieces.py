"""Pieces of a mask that hang together by faces, and holes in it, found block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from promptile.grid import Window
from promptile.masks import ObjectMask, blocks_of

_ROUNDED = 1e-6
"""Share of a sample that a limit in mm³ may lose when it is divided by a sample's volume."""

Read = Callable[[Window], NDArray[np.bool_]]


def without_islands(mask: ObjectMask, least: float) -> ObjectMask:
    """A mask without its pieces of fewer than `least` samples."""
    pieces = _Pieces(mask.window, mask.read)
    stays = pieces.sizes >= least - _ROUNDED
    return ObjectMask.collect(mask.shape, pieces.blocks(stays, mask.shape))


def without_holes(mask: ObjectMask, most: float) -> ObjectMask:
    """A mask in which enclosed background of up to `most` samples is filled."""
    pieces = _Pieces(mask.window, lambda window: ~mask.read(window))
    filled = (pieces.sizes <= most + _ROUNDED) & ~pieces.outside
    return mask | ObjectMask.collect(mask.shape, pieces.blocks(filled, mask.shape))


class _Pieces:
    """Connected samples within a window. Held are the faces of its blocks; samples are labelled twice.

    Parameters
    ----------
    window : Window
    read : callable
        The samples of a window inside it.
    """

    def __init__(self, window: Window, read: Read) -> None:
        self._window = window
        self._read = read
        counts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        borders: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        pairs: list[NDArray[np.int64]] = [np.zeros((2, 0), np.int64)]
        faces: dict[tuple[int, tuple[int, ...]], NDArray[np.int32]] = {}
        self._offsets: dict[Window, int] = {}
        total = 0
        for block in self._blocks():
            labels, count = self._label(block)
            self._offsets[block] = total
            counts.append(np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(np.int64))
            borders.append(self._on_border(labels, block) + total)
            numbered = np.where(labels > 0, labels + total, 0).astype(np.int32)
            for axis in range(block.ndim):
                before = faces.pop((axis, block.start), None)
                if before is not None:
                    pairs.append(_touching(before, np.take(numbered, 0, axis)))
                after = tuple(
                    b if a == axis else s for a, (s, b) in enumerate(zip(block.start, block.stop, strict=True))
                )
                faces[axis, after] = np.take(numbered, -1, axis)
            total += count
        ends = np.concatenate(pairs, axis=1) - 1
        graph = coo_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(total, total))
        self._roots: NDArray[np.int32]
        number, self._roots = connected_components(graph, directed=False) if total else (0, np.zeros(0, np.int32))
        self.sizes = np.bincount(self._roots, np.concatenate(counts), number)
        """Samples of each piece."""
        self.outside = np.zeros(number, bool)
        """Which pieces reach the border of the window."""
        self.outside[self._roots[np.concatenate(borders) - 1]] = True

    def blocks(self, chosen: NDArray[np.bool_], shape: tuple[int, ...]) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
        """The chosen pieces as `ObjectMask.collect` takes them."""
        for whole in blocks_of(self._window):
            block = whole & self._window
            labels, count = self._label(block)
            first = self._offsets[block]
            stays = np.concatenate([[False], chosen[self._roots[first : first + count]]])
            samples = np.zeros(whole.clip(shape).shape, bool)
            samples[block.within(whole).slices] = stays[labels]
            yield whole, samples

    def _blocks(self) -> Iterator[Window]:
        return (block & self._window for block in blocks_of(self._window))

    def _label(self, block: Window) -> tuple[NDArray[np.int32], int]:
        samples = self._read(block)
        if samples.all() or not samples.any():  # most blocks of what is large
            return samples.astype(np.int32), int(samples.flat[0])
        labels, count = ndimage.label(samples)
        return labels, int(count)

    def _on_border(self, labels: NDArray[np.int32], block: Window) -> NDArray[np.int64]:
        """Labels on those faces of a block that lie on the border of the window."""
        found = []
        for axis in range(block.ndim):
            if block.start[axis] == self._window.start[axis]:
                found.append(labels.take(0, axis).ravel())
            if block.stop[axis] == self._window.stop[axis]:
                found.append(labels.take(-1, axis).ravel())
        numbers = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
        return np.asarray(numbers[numbers > 0], np.int64)


def _touching(before: NDArray[np.int32], after: NDArray[np.int32]) -> NDArray[np.int64]:
    """``(2, n)``: numbers that lie face to face."""
    both = (before > 0) & (after > 0)
    pairs = np.stack([before[both], after[both]])
    return np.unique(pairs, axis=1).astype(np.int64)
