"""What a model is shown of an image, and what may be taken for its answer."""

from __future__ import annotations

import numpy as np

from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.protocols import Masks, ModelCard, View
from promptile.rendering import Rendering
from promptile.sources.protocol import Source


def look(source: Source, rendering: Rendering, card: ModelCard, window: Window, level: int) -> View:
    """A window of a level: rendered samples, or the file's own if the model asks for them."""
    samples = source.read(window, level, rendering.channels)
    valid = source.valid(window, level)
    if card.input == "rendered":
        samples = rendering.apply(samples, valid)
    spacing = tuple(s * f for s, f in zip(source.grid.spacing, source.levels[level], strict=True))
    return View(samples, valid, spacing)


def check_masks(masks: Masks, card: ModelCard, shape: tuple[int, ...]) -> None:
    """Refuse an answer that is none: it must not look like an object without samples.

    Raises
    ------
    ModelError
    """
    name, logits, scores = card.name, np.asarray(masks.logits), np.asarray(masks.scores)
    if logits.shape[1:] != shape:
        raise ModelError(
            f"Model {name!r} answered with shape {logits.shape[1:]} for a window of "
            f"{shape}: its predict must return logits (n, {', '.join(map(str, shape))})"
        )
    if not len(logits) or scores.shape != (len(logits),):
        raise ModelError(
            f"Model {name!r} answered with {len(logits)} masks and scores of shape {scores.shape}: its predict "
            "must return one score for each mask, and at least one mask"
        )
    if np.isnan(logits.min(initial=0)) or np.isnan(scores).any():  # the least of many is NaN if any is
        raise ModelError(f"Model {name!r} answered with NaN: its predict must return numbers")
