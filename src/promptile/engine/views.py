"""What a model is shown of an image."""

from __future__ import annotations

from promptile.grid import Window
from promptile.models.protocols import ModelCard, View
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
