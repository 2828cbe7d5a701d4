"""What a slice is asked: what the user said in it, and what a neighbouring slice shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.evidence import interior_points
from promptile.engine.slices.marks import Marks
from promptile.engine.slices.pieces import Sheet, bounds, draw
from promptile.grid import Window
from promptile.models.protocols import ModelCard
from promptile.prompts.regions import Raster
from promptile.prompts.types import Prompt, WindowPrompt

_CERTAIN = 8.0
"""Logit well inside of what a neighbour shows."""
_STEEPNESS = 2.0
"""Logits per sample from its outline: the neighbour's outline is about where this slice's is, not exactly there."""
_MARGIN_MM = 1.0
"""What the box around a neighbour's piece leaves free on each side."""
_POINTS = 1
"""Points well inside, per piece that a neighbour shows; as many pieces, the largest first."""


@dataclass(frozen=True, eq=False)
class Question:
    """What a slice is asked.

    Parameters
    ----------
    index : int
        Of the slice.
    marks : Marks, optional
        What the user said in it.
    shown : tuple of Piece
        What is known from a neighbour.
    """

    index: int
    marks: Marks | None = None
    shown: Sheet = ()

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from other questions."""
        marks = b"" if self.marks is None else self.marks.digest
        return self.index, marks, *(piece.digest for piece in self.shown)


class Shown(Prompt):
    """A prompt whose region is what a neighbour shows: likely inside, open along its outline."""

    def within(self, window: Window, factors: tuple[int, ...]) -> WindowPrompt:  # type: ignore[override]
        asked = super().within(window, factors)
        return asked if asked.mask is None else replace(asked, mask=_softened(asked.mask > 0))


def prompt_of(question: Question, card: ModelCard, spacing: tuple[float, float]) -> Prompt:
    """A question as a prompt about one slice, of what the model takes."""
    marks, shown = question.marks, question.shown
    none = np.empty((0, 2)), np.empty(0, bool)
    points, labels = none if marks is None else (marks.points, marks.labels)
    if marks is not None and (marks.whole or not shown):
        return Prompt(1, points, labels, marks.box, marks.region)
    window = bounds(shown)
    samples = draw(shown, window)
    box = _around(window, points[labels], spacing) if "box" in card.abilities else None
    region = Raster(window, samples) if "mask" in card.abilities else None
    if "points" in card.abilities and region is None:  # beside a mask they measured a little worse than without
        inside = interior_points(samples, _room(card, len(points), box is not None)) + np.asarray(window.start)
        points = np.concatenate([points, inside])
        labels = np.concatenate([labels, np.ones(len(inside), bool)])
    return Shown(1, points, labels, box, region)


def without_mask(prompt: Prompt) -> Prompt | None:
    """The same question by its box alone; None if it has no mask or no box."""
    if prompt.box is None or prompt.region is None:
        return None
    return Prompt(prompt.id, prompt.points, prompt.labels, prompt.box)


def _room(card: ModelCard, points: int, box: bool) -> int:
    """How many points a model takes beside these."""
    return _POINTS if card.max_points is None else max(min(_POINTS, card.max_points - points - 2 * box), 1)


def _around(window: Window, on: NDArray[np.float64], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """A box around a window and clicks on the object, with a margin."""
    low, high = (np.vstack([edge, on]) for edge in (np.asarray(window.start) - 0.5, np.asarray(window.stop) - 0.5))
    margin = np.divide(_MARGIN_MM, spacing)
    return np.stack([low.min(axis=0) - margin, high.max(axis=0) + margin])


def _softened(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Logits that fall with the distance from the outline."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1] if mask.any() else mask
    outside = ndimage.distance_transform_edt(~mask) if not mask.all() else ~mask
    logits = np.clip(_STEEPNESS * (np.where(mask, inside, 0.0) - np.where(mask, 0.0, outside)), -_CERTAIN, _CERTAIN)
    return logits.astype(np.float32)
