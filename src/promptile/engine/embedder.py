"""From a window of an image to a model's answer: read, render, embed, predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.embeddings import MemoryCache
from promptile.engine.views import check_masks, look
from promptile.grid import Window
from promptile.models.protocols import Embedding, Masks, Promptable, WindowPrompt
from promptile.rendering import Rendering
from promptile.sources.protocol import Source

CACHE_BYTES = 256 * 2**20

_NOWHERE = np.float32(-8)
"""Logit where the image has no data: certainly not object."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A window that a model has looked at."""

    embedding: Embedding
    valid: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        return self.embedding.nbytes + self.valid.nbytes


class Embedder:
    """Looks at windows of one image with one model, each once as long as memory lasts.

    Parameters
    ----------
    source : Source
    rendering : Rendering
    model : Promptable
    cache_bytes : int
        Memory for embeddings.
    checkpoint : Callable, optional
        Called before each look at a window and each prediction; what it raises ends the work there.
    """

    def __init__(
        self,
        source: Source,
        rendering: Rendering,
        model: Promptable,
        cache_bytes: int = CACHE_BYTES,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        self.source = source
        self.rendering = rendering
        self.model = model
        self.checkpoint = checkpoint
        self._cache: MemoryCache[Seen] = MemoryCache(cache_bytes)

    def predict(self, window: Window, level: int, prompt: WindowPrompt) -> Masks:
        """The model's candidates for one object in one window; no data is never object."""
        seen = self._seen(window, level)
        self.checkpoint()
        masks = self.model.predict(seen.embedding, prompt)
        check_masks(masks, self.model.card, window.shape)
        if seen.valid.all():
            return masks
        return Masks(np.where(seen.valid, masks.logits, _NOWHERE), masks.scores)

    def on_image(self, window: Window, level: int, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """``(n,)``: which points, in the window's index coordinates, lie where the image has data."""
        places = np.clip(np.rint(points).astype(int), 0, np.subtract(window.shape, 1))
        return np.asarray(self._seen(window, level).valid[tuple(places.T)], bool)

    def _seen(self, window: Window, level: int) -> Seen:
        return self._cache.get((window, level), lambda: self._look(window, level))

    def _look(self, window: Window, level: int) -> Seen:
        self.checkpoint()
        view = look(self.source, self.rendering, self.model.card, window, level)
        (embedding,) = self.model.embed([view])
        return Seen(embedding, view.valid)
