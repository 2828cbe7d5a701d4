"""What is connected in one slice: the unit in which an object is followed from slice to slice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window

AROUND = np.ones((3, 3), bool)
"""What is connected in a slice: also across corners."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Connected samples of a slice, kept as bits.

    Parameters
    ----------
    window : Window
        Its bounding box in the slice.
    bits : ndarray of uint8
        The samples in it, packed.
    count : int
        How many there are.
    """

    window: Window
    bits: NDArray[np.uint8]
    count: int

    @property
    def samples(self) -> NDArray[np.bool_]:
        """``window.shape``: True on the object."""
        return np.unpackbits(self.bits, count=self.window.size).astype(bool).reshape(self.window.shape)

    @cached_property
    def digest(self) -> bytes:
        """What tells it from all others of a slice."""
        place = np.array([*self.window.start, *self.window.shape], np.int64)
        return hashlib.sha256(place.tobytes() + self.bits.tobytes()).digest()

    def touches(self, other: Piece) -> bool:
        """Whether any sample of the one is a sample of the other or beside it, also across a corner."""
        shared = self.window.grow(1) & other.window
        if shared.empty:
            return False
        wide = ndimage.binary_dilation(np.pad(self.samples, 1), AROUND)
        mine = wide[shared.within(self.window.grow(1)).slices]
        return bool((mine & other.samples[shared.within(other.window).slices]).any())

    def holds(self, points: NDArray[np.float64]) -> bool:
        """Whether any of the points ``(n, 2)`` lies on it."""
        inside = np.rint(points[self.window.holds(points)]).astype(int) - np.asarray(self.window.start)
        return bool(len(inside) and self.samples[tuple(inside.T)].any())


Sheet = tuple[Piece, ...]
"""All of an object in one slice, the largest piece first."""


def pieces_of(samples: NDArray[np.bool_], start: Sequence[int] = (0, 0)) -> Sheet:
    """The connected pieces of samples whose first one lies at `start`; also across corners."""
    numbers, count = ndimage.label(samples, AROUND)
    found = []
    for number, box in enumerate(ndimage.find_objects(numbers) if count else (), 1):
        inside = numbers[box] == number
        window = Window(tuple(int(s.start + a) for s, a in zip(box, start, strict=True)), inside.shape)
        found.append(Piece(window, np.packbits(inside), int(np.count_nonzero(inside))))
    return tuple(sorted(found, key=lambda piece: (-piece.count, piece.window.start)))


def bounds(sheet: Iterable[Piece]) -> Window:
    """The smallest window around all pieces; empty if there are none."""
    return reduce(Window.__or__, (piece.window for piece in sheet), Window((0, 0), (0, 0)))


def draw(sheet: Iterable[Piece], window: Window) -> NDArray[np.bool_]:
    """``window.shape``: the samples of all pieces in a window of the slice."""
    drawn = np.zeros(window.shape, bool)
    for piece in sheet:
        shared = piece.window & window
        if not shared.empty:
            drawn[shared.within(window).slices] |= piece.samples[shared.within(piece.window).slices]
    return drawn


def union(*sheets: Iterable[Piece]) -> Sheet:
    """All that belongs to any of the sheets, connected anew."""
    together = [piece for sheet in sheets for piece in sheet]
    window = bounds(together)
    return pieces_of(draw(together, window), window.start) if together else ()


def cut(sheet: Sheet, window: Window) -> Sheet:
    """What lies in a window of the slice."""
    if all(piece.window in window for piece in sheet):
        return sheet
    return pieces_of(draw(sheet, window), window.start)


def apart(sheet: Iterable[Piece], other: Iterable[Piece]) -> Sheet:
    """The pieces that touch nothing of another sheet."""
    known = tuple(other)
    return tuple(piece for piece in sheet if not any(piece.touches(one) for one in known))
