"""The mask of one object of any size, kept in blocks."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window

BLOCK = {2: 512, 3: 64}
"""Side of a block by number of dimensions: a quarter of a million samples, 32 kB as bits."""


def blocks_of(window: Window) -> Iterator[Window]:
    """The blocks of the lattice that starts at index 0 which touch `window`, row by row."""
    side = BLOCK[window.ndim]
    spans = [range(a // side, -(-b // side)) for a, b in zip(window.start, window.stop, strict=True)]
    for index in itertools.product(*spans):
        yield Window(tuple(i * side for i in index), (side,) * window.ndim)


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """One object's samples. Memory follows the object's own blocks, as packed bits.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    bits : mapping from tuple of int to ndarray of uint8
        Per block start the block's samples as packed bits; a block that holds none is absent.
    window : Window
        The bounding box of the object; empty if it has no samples.
    count : int
        Number of samples.
    """

    shape: tuple[int, ...]
    bits: Mapping[tuple[int, ...], NDArray[np.uint8]]
    window: Window
    count: int

    @classmethod
    def collect(cls, shape: Sequence[int], parts: Iterable[tuple[Window, NDArray[np.bool_]]]) -> ObjectMask:
        """A mask from blocks of the lattice: ``(block, samples)``, samples may be cut at the image's end."""
        bits: dict[tuple[int, ...], NDArray[np.uint8]] = {}
        window, count = Window((0,) * len(shape), (0,) * len(shape)), 0
        for block, samples in parts:
            if not samples.any():
                continue
            whole = np.zeros(block.shape, bool)
            whole[tuple(slice(0, n) for n in samples.shape)] = samples
            bits[block.start] = np.packbits(whole)
            window |= bounds_of(samples).shift(block.start)
            count += int(np.count_nonzero(samples))
        return cls(tuple(shape), dict(sorted(bits.items())), window, count)

    @classmethod
    def of(cls, shape: Sequence[int], window: Window, samples: NDArray[np.bool_]) -> ObjectMask:
        """The mask of an object whose `samples` lie in `window`."""

        def cut() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
            for block in blocks_of(window):
                inside = np.zeros(block.shape, bool)
                shared = block & window
                inside[shared.within(block).slices] = samples[shared.within(window).slices]
                yield block, inside

        return cls.collect(shape, cut())

    def blocks(self) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
        """Blocks that hold samples, row by row, cut at the image's end."""
        side = BLOCK[len(self.shape)]
        for start in self.bits:
            block = Window(start, (side,) * len(self.shape))
            inside = block.clip(self.shape)
            yield inside, self._unpack(start)[inside.within(block).slices]

    def read(self, window: Window) -> NDArray[np.bool_]:
        """``window.shape``: the object's samples in a window."""
        found = np.zeros(window.shape, bool)
        for block in blocks_of(window & self.window):
            if block.start in self.bits:
                shared = block & window
                found[shared.within(window).slices] = self._unpack(block.start)[shared.within(block).slices]
        return found

    def replaced(self, window: Window, samples: NDArray[np.bool_]) -> ObjectMask:
        """The same mask with other samples in a window of the image."""

        def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
            for block in {*map(self._block, self.bits), *blocks_of(window)}:
                whole = self._unpack(block.start) if block.start in self.bits else np.zeros(block.shape, bool)
                shared = block & window
                whole[shared.within(block).slices] = samples[shared.within(window).slices]
                yield block, whole

        return ObjectMask.collect(self.shape, parts())

    def __or__(self, other: ObjectMask) -> ObjectMask:
        return self._with(other, np.logical_or)

    def __sub__(self, other: ObjectMask) -> ObjectMask:
        return self._with(other, np.greater)

    def _with(self, other: ObjectMask, join: Callable[..., NDArray[np.bool_]]) -> ObjectMask:
        starts = {*self.bits, *other.bits}
        blocks = ((self._block(start), join(self._samples(start), other._samples(start))) for start in starts)
        return ObjectMask.collect(self.shape, blocks)

    def touches_edge(self) -> bool:
        """Whether the object reaches the border of the image."""
        reach = zip(self.window.start, self.window.stop, self.shape, strict=True)
        return self.count > 0 and any(a == 0 or b == n for a, b, n in reach)

    def _block(self, start: tuple[int, ...]) -> Window:
        return Window(start, (BLOCK[len(self.shape)],) * len(self.shape))

    def _samples(self, start: tuple[int, ...]) -> NDArray[np.bool_]:
        return self._unpack(start) if start in self.bits else np.zeros(self._block(start).shape, bool)

    def _unpack(self, start: tuple[int, ...]) -> NDArray[np.bool_]:
        side, ndim = BLOCK[len(self.shape)], len(self.shape)
        return np.unpackbits(self.bits[start]).reshape((side,) * ndim).astype(bool)

    def save(self, file: BinaryIO) -> None:
        """Write as ``.npz``: one array of packed bits per block, named by its start, and ``header``."""
        header: dict[str, Any] = {
            "shape": self.shape,
            "window": [self.window.start, self.window.shape],
            "count": self.count,
            "block": BLOCK[len(self.shape)],
        }
        arrays: dict[str, Any] = {"_".join(map(str, start)): bits for start, bits in self.bits.items()}
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, file: BinaryIO) -> ObjectMask:
        """Read what `save` wrote."""
        with np.load(io.BytesIO(file.read()), allow_pickle=False) as stored:
            header = json.loads(stored["header"].tobytes())
            bits = {tuple(map(int, k.split("_"))): stored[k] for k in stored.files if k != "header"}
        window = Window(*map(tuple, header["window"]))
        return cls(tuple(header["shape"]), bits, window, header["count"])


@dataclass(frozen=True, eq=False)
class Edit:
    """What was done to an object by hand."""

    added: ObjectMask
    removed: ObjectMask

    @classmethod
    def nothing(cls, shape: Sequence[int]) -> Edit:
        """No edit at all."""
        return cls(ObjectMask.collect(shape, ()), ObjectMask.collect(shape, ()))

    def then(self, added: ObjectMask, removed: ObjectMask) -> Edit:
        """What this edit and another one after it make together."""
        return Edit((self.added - removed) | added, (self.removed - added) | removed)

    def on(self, mask: ObjectMask) -> ObjectMask:
        """What becomes of a mask."""
        return (mask | self.added) - self.removed


def bounds_of(samples: NDArray[np.bool_]) -> Window:
    """Bounding box of the samples that are set (at least one is)."""
    axes = range(samples.ndim)
    spans = [np.flatnonzero(samples.any(axis=tuple(a for a in axes if a != axis))) for axis in axes]
    return Window.between([int(s[0]) for s in spans], [int(s[-1]) + 1 for s in spans])
