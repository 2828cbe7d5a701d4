"""What was painted on labels by hand, as changes of objects."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.errors import UsageError
from promptile.grid import Window
from promptile.masks import Edit, ObjectMask
from promptile.prompts.types import LARGEST_ID


@dataclass(frozen=True, eq=False)
class Stroke:
    """Labels of one window before and after somebody painted on them.

    Parameters
    ----------
    window : Window
    before, after : ndarray of uint32, shape of the window
        Ids; 0 is background.
    """

    window: Window
    before: NDArray[np.uint32]
    after: NDArray[np.uint32]


class Brushwork:
    """Strokes, one after the other, as changes of masks.

    A sample that was painted belongs to that object alone afterwards, one that was erased to none: objects that lay
    unseen below lose it too.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    boxes : mapping from int to Window
        Bounding box of each object that is there.
    mask_of : callable
        The mask of one of them.
    """

    def __init__(self, shape: Sequence[int], boxes: Mapping[int, Window], mask_of: Callable[[int], ObjectMask]) -> None:
        self._shape = shape
        self._mask_of = mask_of
        self._ids, self._there = list(boxes), set(boxes)
        corners = itertools.chain.from_iterable((*box.start, *box.stop) for box in boxes.values())
        self._boxes = np.fromiter(corners, int).reshape(len(boxes), 2, len(shape))
        self.masks: dict[int, ObjectMask] = {}
        """Masks of the objects that have changed."""
        self.edits: dict[int, Edit] = {}
        """What was added to and removed from them."""

    def apply(self, stroke: Stroke) -> None:
        """Paint once more.

        Raises
        ------
        UsageError
            If the stroke is not of this image, or its ids are none.
        """
        self._check(stroke)
        if (stroke.before == stroke.after).all():
            return
        stroke = _trimmed(stroke)
        window, changed = stroke.window, stroke.before != stroke.after
        painted = {int(i) for i in np.unique(stroke.after[changed]) if i}
        for i in sorted(painted | self._below(window)):
            before = self._mask(i).read(window)
            after = np.where(changed, stroke.after == i, before)
            if (before != after).any():
                self._change(i, window, before, after)

    def _check(self, stroke: Stroke) -> None:
        shapes = {stroke.window.shape, stroke.before.shape, stroke.after.shape}
        if len(shapes) > 1 or stroke.window.clip(self._shape) != stroke.window:
            raise UsageError(
                f"{stroke.window} with labels of {stroke.before.shape} and {stroke.after.shape} is no stroke on an "
                f"image of {self._shape}: give the labels of one window inside the image"
            )
        if stroke.after.size and not 0 <= int(stroke.after.min()) <= int(stroke.after.max()) <= LARGEST_ID:
            raise UsageError(f"Ids of objects are 1 to {LARGEST_ID}, and 0 where there is none: paint with these")

    def _below(self, window: Window) -> set[int]:
        """Objects that may have samples in a window."""
        low, high = self._boxes[:, 0], self._boxes[:, 1]
        near = np.flatnonzero(((low < window.stop) & (high > window.start)).all(axis=1))
        changed = {i for i, mask in self.masks.items() if not (mask.window & window).empty}
        return changed | {self._ids[n] for n in near.tolist()}

    def _change(self, i: int, window: Window, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
        self.masks[i] = self._mask(i).replaced(window, after)
        added = ObjectMask.of(self._shape, window, after & ~before)
        removed = ObjectMask.of(self._shape, window, before & ~after)
        self.edits[i] = self.edits.get(i, Edit.nothing(self._shape)).then(added, removed)

    def _mask(self, i: int) -> ObjectMask:
        if i in self.masks:
            return self.masks[i]
        return self._mask_of(i) if i in self._there else ObjectMask.collect(self._shape, ())


def _trimmed(stroke: Stroke) -> Stroke:
    """The part of a stroke in which something was painted."""
    places = np.nonzero(stroke.before != stroke.after)
    inside = Window.between([int(p.min()) for p in places], [int(p.max()) + 1 for p in places])
    window = inside.shift(stroke.window.start)
    return Stroke(window, stroke.before[inside.slices], stroke.after[inside.slices])
