"""What nnInteractive is told, in turns as a person would tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from promptile.models.protocols import View, WindowPrompt


@dataclass(frozen=True, eq=False)
class Turn:
    """One interaction."""

    kind: Literal["mask", "box", "point"]
    what: Any
    """A mask ``shape``, first and last index per axis of a box, or a place."""
    there: bool = True
    """Whether it is about the object, and not about what is no object."""
    asks: bool = True
    """Whether the network answers before the next one."""


def turns_of(prompt: WindowPrompt, view: View, *, three: bool) -> list[Turn]:
    """The turns of a prompt: what is known of the mask, the box, then each point.

    Parameters
    ----------
    prompt : WindowPrompt
    view : View
    three : bool
        Whether the network takes boxes in three dimensions. If not, it is given the box's middle slice, along the
        axis with the largest spacing.
    """
    known = None if prompt.mask is None else (prompt.mask > 0).astype(np.uint8)
    mask = [] if known is None or not known.any() else [Turn("mask", known)]
    last = np.subtract(view.shape, 1)
    points = [
        Turn("point", tuple(np.clip(np.rint(place), 0, last).astype(int).tolist()), bool(label))
        for place, label in zip(prompt.points, prompt.labels, strict=True)
    ]
    box = [] if prompt.box is None else _box(prompt.box, view, three=three, needed=not mask and not prompt.labels.any())
    if mask and (box or points):
        mask = [Turn("mask", known, asks=False)]
    return [*mask, *box, *points] if mask or box or prompt.labels.any() else []


def _box(box: NDArray[np.float64], view: View, *, three: bool, needed: bool) -> list[Turn]:
    """A box inside the view; left out where its middle lies elsewhere, unless there is nothing else to start from."""
    middle = box.mean(axis=0)
    inside = bool(((middle >= -0.5) & (middle < np.subtract(view.shape, 0.5))).all())
    low, high = (np.clip(np.rint(edge + 0.5).astype(int), 0, view.shape) for edge in box)
    high = np.maximum(high, np.minimum(low + 1, view.shape))  # a box between two centres has one sample
    if (low >= high).any() or not (inside or needed):
        return []
    if not three and (high - low).min() > 1:
        axis = int(np.argmax(view.spacing))
        low[axis] = (low[axis] + high[axis] - 1) // 2
        high[axis] = low[axis] + 1
    return [Turn("box", np.stack([low, high], axis=1).tolist())]
