"""What an object looks like where it is known, and whether a neighbouring slice shows more of that.

A model asked beyond the end of an object finds something all the same, and finds its way back from there. But what it
finds looks like what lies around the object, not like the object.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.slices.pieces import AROUND, Sheet, bounds, draw, pieces_of
from promptile.engine.slices.stack import Stack

_BINS = 48
_LOW, _HIGH = -0.25, 1.25
"""Rendered intensities that are told apart: the visible range, and a sixth of it on either side."""
_BLUR = 1.5
"""Bins: how far intensities may lie apart and still be alike."""
_RING = 8
"""Samples around an object that count as its surroundings."""

ALIKE = 0.5
"""How much of an answer must look more like the object than like what lies around it, as a part of how much of the
object itself does, where it is known."""


_LOST = 0.3
"""An answer that leaves out more than this part of what is shown may have lost it: what looks like it is put back."""


class Appearance:
    """Intensities of an object and of what lies around it in one slice."""

    def __init__(self, stack: Stack, index: int, sheet: Sheet) -> None:
        self._stack = stack
        window = bounds(sheet).grow(_RING)
        plane = stack.grower(index).embedder.source
        seen = window.clip(plane.grid.shape)
        inside = draw(sheet, seen)
        ring = ndimage.binary_dilation(inside, iterations=_RING) & ~inside
        values = stack.rendered(index, seen)
        self._evidence = _log(values[inside]) - _log(values[ring])
        """Per intensity, how much more frequent it is in the object than around it: a logarithm."""
        self._typical = self._evidence >= 0
        self._own = self._likeness(values[inside])

    def fits(self, index: int, sheet: Sheet) -> bool:
        """Whether pieces of a slice look enough like the object."""
        window = bounds(sheet)
        values = self._stack.rendered(index, window)
        return self._likeness(values[draw(sheet, window)]) >= ALIKE * self._own

    def agreed(self, index: int, shown: Sheet, found: Sheet) -> Sheet:
        """What was found, but for connected changes that look otherwise than what they would be.

        Parameters
        ----------
        index : int
            Of the slice.
        shown : tuple of Piece
            The object in the slice beside it.
        found : tuple of Piece
            What the model says of it. What is new in there must look like the object, and where much is not in there
            any more, that like its surroundings.
        """
        window = bounds(shown) | bounds(found)
        before, after = draw(shown, window), draw(found, window)
        if np.array_equal(before, after):
            return found
        evidence = self._evidence[_bins(self._stack.rendered(index, window))]
        gained, lost = after & ~before, before & ~after
        much = np.count_nonzero(lost) > _LOST * np.count_nonzero(before)
        for change in (gained, lost) if much else (gained,):
            parts, count = ndimage.label(change, AROUND)
            sums = ndimage.sum_labels(evidence, parts, np.arange(count + 1))
            after[change] = (sums >= 0)[parts[change]]
        after &= self._stack.grower(index).embedder.source.valid(window)
        return pieces_of(after, window.start)

    def _likeness(self, values: NDArray[np.float32]) -> float:
        return float(self._typical[_bins(values)].mean()) if len(values) else 0.0


def _bins(values: NDArray[np.float32]) -> NDArray[np.int64]:
    places = (values - _LOW) / (_HIGH - _LOW) * _BINS
    bins: NDArray[np.int64] = np.clip(places, 0, _BINS - 1).astype(np.int64)
    return bins


def _log(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logarithm of how frequent each intensity is."""
    counts = ndimage.gaussian_filter1d(np.bincount(_bins(values), minlength=_BINS).astype(float), _BLUR)
    frequent: NDArray[np.float64] = np.log((counts + 1 / _BINS) / (counts.sum() + 1))
    return frequent
