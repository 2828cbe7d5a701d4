"""From a window of an image to a model's answer: read, render, embed, predict."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from promptile.caches import FOLDER
from promptile.embeddings import MemoryCache
from promptile.engine.dialogue import key_of, turns
from promptile.engine.kept import Kept, Seen
from promptile.engine.progress import one_line
from promptile.engine.views import check_masks, look
from promptile.grid import Window
from promptile.models.protocols import Embedding, Masks, Promptable, Storable, WindowPrompt
from promptile.rendering import Rendering
from promptile.sources.protocol import Source

_log = logging.getLogger("promptile")

CACHE_BYTES = 256 * 2**20

_TOLD_BYTES = 16 * 2**20
"""Memory for the last answers of a dialogue: four windows of 1024 samples, or two of a volume."""

_NOWHERE = np.float32(-8)
"""Logit where the image has no data: certainly not object."""

T = TypeVar("T")


class Embedder:
    """Looks at windows of one image with one model, each once as long as memory lasts.

    The embeddings of a `Storable` model are looked for on disk as well, and kept there. All methods may be called
    from several threads.

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
        self._told: MemoryCache[NDArray[np.float32]] = MemoryCache(_TOLD_BYTES)
        self._kept = Kept(source, rendering, model) if isinstance(model, Storable) else None
        if self._kept is not None and self._kept.obstacle:
            self._kept = None

    def prepare(self, window: Window, level: int) -> None:
        """Make the embedding of a window or read it from the disk, so that the next prediction need not wait for it."""
        self.seen(window, level)

    def known(self, window: Window, level: int) -> bool:
        """Whether the embedding of a window is in memory or on disk."""
        if (window, level) in self._cache:
            return True
        return bool(self._on_disk(lambda kept: kept.has(window, level)))

    def kept(self, window: Window, level: int) -> Embedding | None:
        """What is kept of a window on disk; None if nothing is."""
        seen = self._on_disk(lambda kept: kept.read(window, level))
        return None if seen is None else seen.embedding

    def predict(self, window: Window, level: int, prompt: WindowPrompt) -> Masks:
        """The model's candidates for one object in one window; no data is never object."""
        seen = self.seen(window, level)
        self.checkpoint()
        masks = self.model.predict(seen.embedding, prompt)
        check_masks(masks, self.model.card, window.shape)
        if seen.valid.all():
            return masks
        return Masks(np.where(seen.valid, masks.logits, _NOWHERE), masks.scores)

    def converse(self, window: Window, level: int, prompt: WindowPrompt) -> Masks:
        """The same, but click by click if the model takes masks: each answer goes back to it with the next click.

        The last answers are remembered, so that one more click costs one more prediction.
        """
        if "mask" not in self.model.card.abilities or prompt.mask is not None:
            return self.predict(window, level, prompt)
        *before, last = turns(prompt)
        told = None
        for turn in before:
            told = self._told.get((window, level, key_of(turn)), partial(self._best, window, level, turn, told))
        masks = self.predict(window, level, replace(last, mask=told))
        self._told.get((window, level, key_of(last)), lambda: _best(masks))
        return masks

    def _best(
        self, window: Window, level: int, prompt: WindowPrompt, told: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        return _best(self.predict(window, level, replace(prompt, mask=told)))

    def on_image(self, window: Window, level: int, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """``(n,)``: which points, in the window's index coordinates, lie where the image has data."""
        places = np.clip(np.rint(points).astype(int), 0, np.subtract(window.shape, 1))
        return np.asarray(self.seen(window, level).valid[tuple(places.T)], bool)

    def seen(self, window: Window, level: int) -> Seen:
        """What the model keeps of a window; looked at now if it is neither in memory nor on disk."""
        return self._cache.get((window, level), lambda: self._look(window, level))

    def _look(self, window: Window, level: int) -> Seen:
        self.checkpoint()
        if (seen := self._on_disk(lambda kept: kept.read(window, level))) is not None:
            return seen
        view = look(self.source, self.rendering, self.model.card, window, level)
        (embedding,) = self.model.embed([view])
        if isinstance(self.model, Storable):
            packed = self.model.pack(embedding)
            self._on_disk(lambda kept: kept.write(window, level, packed, view.valid))
            embedding = self.model.unpack(packed)
        return Seen(embedding, view.valid)

    def _on_disk(self, use: Callable[[Kept], T]) -> T | None:
        """What `use` gives; None if there is no cache on disk. One that cannot be used is done without."""
        kept = self._kept
        if kept is None:
            return None
        try:
            return use(kept)
        except OSError as error:
            _log.warning("Embeddings are not kept on disk: %s; say where with %s", one_line(error), FOLDER)
            self._kept = None
            return None


def _best(masks: Masks) -> NDArray[np.float32]:
    best: NDArray[np.float32] = masks.logits[int(np.argmax(masks.scores))].copy()  # its memory apart from the others'
    return best
