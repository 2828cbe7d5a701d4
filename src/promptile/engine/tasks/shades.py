"""All masks that a model can think of in a view: nothing is filtered, as edges and proposals need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from promptile.engine.propose import SIDE, grid_points
from promptile.engine.views import check_masks
from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.protocols import Batched, Masks, Model, Promptable, Proposer, View, WindowPrompt

_TOGETHER = 16
_SURE = np.float32(8)
"""Logit of masks whose models say only yes or no."""


@dataclass(frozen=True, eq=False)
class Shade:
    """One mask, and how sure the model is at each sample."""

    window: Window
    """In the view; what is outside is not object."""
    logits: NDArray[np.float32]
    """``window.shape``: above 0 is object."""
    score: float
    """The model's own guess of the mask's IoU with the truth."""


@runtime_checkable
class Shading(Model, Protocol):
    """A model that finds all objects by itself, and says how sure it is at each sample."""

    def shade(self, view: View) -> Iterator[tuple[Window, NDArray[np.float32], float]]:
        """Each object's window, its logits there, and its score."""
        ...


def check_shading(model: Model) -> None:
    """Raise ModelError if a model can neither propose objects nor be asked for them point by point."""
    points = "points" in model.card.abilities and isinstance(model, Promptable)
    if not (points or isinstance(model, (Shading, Proposer))):
        raise ModelError(
            f"Model {model.card.name!r} neither finds objects by itself nor answers points: use one that does, like "
            "--model mobile-sam"
        )


def shades(model: Model, view: View, per_side: int) -> Iterator[Shade]:
    """All masks of a view, one after the other.

    Parameters
    ----------
    model : Model
    view : View
    per_side : int
        A model that only answers points is asked at so many along the longer side, and gives all its answers.
    """
    if isinstance(model, Shading):
        yield from (Shade(*found) for found in model.shade(view))
    elif "propose" in model.card.abilities and isinstance(model, Proposer):
        for proposal in model.propose(view):
            yield Shade(proposal.window, np.where(proposal.samples, _SURE, -_SURE), proposal.score)
    elif "points" in model.card.abilities and isinstance(model, Promptable):
        whole = Window.of(view.shape)
        for masks in _answers(model, view, per_side):
            for logits, score in zip(masks.logits, masks.scores.tolist(), strict=True):
                yield Shade(whole, logits, float(np.clip(score, 0, 1)))


def _answers(model: Promptable, view: View, per_side: int) -> Iterator[Masks]:
    points = grid_points(view, round(per_side * SIDE / max(view.shape)))  # that function counts along 1024 samples
    if not len(points):
        return
    (embedding,) = model.embed([view])
    for i in range(0, len(points), _TOGETHER):
        prompts = [WindowPrompt(point[None], np.ones(1, bool)) for point in points[i : i + _TOGETHER]]
        batch: Sequence[Masks]
        if isinstance(model, Batched):
            batch = model.predict_batch(embedding, prompts)
        else:
            batch = [model.predict(embedding, prompt) for prompt in prompts]
        for masks in batch:
            check_masks(masks, model.card, view.shape)
            yield masks
