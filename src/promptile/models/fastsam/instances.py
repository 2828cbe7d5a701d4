"""From what the network says to instances: which boxes stay, where they end, and the masks within them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.models.fastsam.letterbox import Letterbox, resized

CONFIDENCE = 0.4
"""Instances below it are left out."""
REPEATED = 0.9
"""Of boxes with an IoU above it, the surest stays."""
MOST = 300
"""Instances in one window."""
_SNAP = 20
"""Pixels of the network's input: boxes that end so near its border end at it."""
_WHOLE = 0.9
"""A box with an IoU above it with the network's input is all of it."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One object that the network sees in a window."""

    window: Window
    """The mask's bounding box."""
    bits: NDArray[np.uint8]
    """The mask's samples there, packed."""
    area: int
    """How many they are."""
    score: float
    """The network's confidence."""
    weights: NDArray[np.float32]
    """Of each of the network's prototypes in the mask."""

    @property
    def samples(self) -> NDArray[np.bool_]:
        """``window.shape``: the mask."""
        return np.unpackbits(self.bits, count=self.window.size).reshape(self.window.shape).astype(bool)

    def holds(self, place: tuple[int, int]) -> bool:
        """Whether a sample belongs to the mask."""
        inside = Window(place, (1, 1))
        return inside in self.window and bool(self.samples[inside.within(self.window).slices].all())


@dataclass(frozen=True, eq=False)
class Seen:
    """What is kept of one window: its instances, the surest first, and what their masks are made of."""

    shape: tuple[int, int]
    prototypes: NDArray[np.float32]
    """``(32, rows, columns)``: over the whole window."""
    instances: tuple[Instance, ...]

    def logits(self, instance: Instance) -> NDArray[np.float32]:
        """``instance.window.shape``: above 0 is object."""
        return _logits(self.prototypes, instance.weights, self.shape, instance.window)

    @cached_property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.prototypes.nbytes + sum(each.bits.nbytes + each.weights.nbytes for each in self.instances)


def instances_of(found: NDArray[np.float32], prototypes: NDArray[np.float32], frame: Letterbox) -> Seen:
    """The instances that a network's two outputs mean.

    Parameters
    ----------
    found : (37, n) array
        For each anchor the middle, width and height of a box in pixels, x first, its confidence, and the weights of
        the prototypes.
    prototypes : (32, cells, cells) array
    frame : Letterbox
    """
    corners, scores, weights = _sure(found)
    boxes = frame.boxes(_snapped(corners, frame.side))
    cells = frame.masks(prototypes)
    instances = []
    for box, score, mine in zip(boxes, scores.tolist(), weights, strict=True):
        # A sample belongs to a box if its first edge does.
        window = Window.between(*np.ceil(box).astype(int)).clip(frame.shape)
        if window.empty:
            continue
        mask = _logits(cells, mine, frame.shape, window) > 0
        if mask.any():
            window, samples = tight(window, mask)
            area = int(np.count_nonzero(samples))
            instances.append(Instance(window, np.packbits(samples), area, min(score, 1.0), mine))
    return Seen(frame.shape, cells, tuple(instances))


def tight(window: Window, mask: NDArray[np.bool_]) -> tuple[Window, NDArray[np.bool_]]:
    """A mask that is not empty in its bounding box."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    inner = Window.between((rows[0], columns[0]), (rows[-1] + 1, columns[-1] + 1))
    return inner.shift(window.start), mask[inner.slices]


def _sure(found: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Corners ``(n, 2, 2)`` of boxes, rows first, their scores and weights: those that are sure and no repetition."""
    rows = found.T[found[4] > CONFIDENCE]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    middles, halves = rows[:, 1::-1], rows[:, 3:1:-1] / 2
    corners = np.stack([middles - halves, middles + halves], axis=1)
    kept = _without_repeats(corners)
    return corners[kept], rows[kept, 4], np.ascontiguousarray(rows[kept, 5:])


def _without_repeats(corners: NDArray[np.float32]) -> list[int]:
    """Positions of the boxes that stay; they come surest first."""
    sizes = (corners[:, 1] - corners[:, 0]).prod(axis=1)
    waiting = np.arange(len(corners))
    kept: list[int] = []
    while len(waiting) and len(kept) < MOST:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        shared = np.minimum(corners[best, 1], corners[waiting, 1]) - np.maximum(corners[best, 0], corners[waiting, 0])
        common = np.maximum(shared, 0).prod(axis=1)
        waiting = waiting[common <= REPEATED * (sizes[best] + sizes[waiting] - common)]
    return kept


def _snapped(corners: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Boxes that end at the border of the network's input if they end near it, and are all of it if they nearly are."""
    low = np.where(corners[:, 0] < _SNAP, np.float32(0), corners[:, 0])
    high = np.where(corners[:, 1] > side - _SNAP, np.float32(side), corners[:, 1])
    common = np.maximum(np.minimum(high, side) - np.maximum(low, 0), 0).prod(axis=1)
    whole = common > _WHOLE * (side * side + (high - low).prod(axis=1) - common)
    low[whole], high[whole] = 0, side
    return np.stack([low, high], axis=1)


def _logits(
    prototypes: NDArray[np.float32], weights: NDArray[np.float32], shape: tuple[int, int], window: Window
) -> NDArray[np.float32]:
    cells = np.tensordot(weights, prototypes, axes=1)[None]
    (spread,) = resized(cells, shape, window)
    return np.asarray(spread, np.float32)
