"""One slice of a volume as an image of its own: what looks at it, and what grows objects in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

import numpy as np

from promptile.embeddings import MemoryCache
from promptile.engine.embedder import Embedder
from promptile.engine.kept import Seen
from promptile.engine.lattice import Index
from promptile.engine.objects import Grower
from promptile.engine.slices.asking import Shown
from promptile.grid import Window, rescale
from promptile.models.protocols import Masks, Promptable, WindowPrompt
from promptile.prompts.types import Prompt
from promptile.rendering import Rendering
from promptile.sources.plane import Plane

LEAST_SCORE = 0.5
"""The model's own guess below which an answer is none."""

MOST = 0.5
"""An answer to clicks that covers more than this part of what a slice shows is the whole patient, not an organ ..."""

AT_LEAST = 0.25
"""... if it covers this part of the slice, too: where little is bright, like vessels, all of it may be meant."""

_DARK = 0.02
"""Rendered intensity up to which nothing is seen: air, or what lies below the intensity range."""


class PlaneEmbedder(Embedder):
    """Looks at one slice; all slices share their memory and their checkpoint."""

    def __init__(
        self,
        plane: Plane,
        rendering: Rendering,
        model: Promptable,
        cache: MemoryCache[Seen],
        checkpoint: Callable[[], None],
    ) -> None:
        super().__init__(plane, rendering, model, checkpoint=checkpoint)
        self._cache = cache

    def predict(self, window: Window, level: int, prompt: WindowPrompt) -> Masks:
        """The model's candidates; to clicks, none that is the whole patient if there is another one.

        Models that learnt from photographs are surest of what stands out from the background.
        """
        masks = super().predict(window, level, prompt)
        if prompt.box is not None or len(masks.scores) == 1:
            return masks
        areas = np.count_nonzero(masks.logits > 0, axis=(1, 2))
        less = areas <= max(MOST * self._seen_in(window, level), AT_LEAST * masks.logits[0].size)
        if not (less & (masks.scores >= LEAST_SCORE)).any():
            return masks
        return Masks(masks.logits[less], masks.scores[less])

    def _seen_in(self, window: Window, level: int) -> int:
        """How many samples of a window show anything."""
        samples, valid = self.source.read(window, level, self.rendering.channels), self.source.valid(window, level)
        return int(np.count_nonzero(self.rendering.apply(samples, valid).max(axis=0) > _DARK))


class PlaneGrower(Grower):
    """Grows objects in one slice; what a neighbour shows may be anywhere in it."""

    def seeds(self, prompt: Prompt, level: int) -> Iterator[Index]:
        """For what a neighbour shows: the window that shows most of it, then all others that own a part of it."""
        if not isinstance(prompt, Shown) or prompt.region is None:
            yield from super().seeds(prompt, level)
            return
        lattice, factors = self.lattices[level], self.embedder.source.levels[level]
        low, high = rescale(prompt.region.box, factors)
        around = Window.between(np.floor(low + 0.5).astype(int), np.ceil(high + 0.5).astype(int))
        owners = {
            index: np.count_nonzero(prompt.region.within(lattice[index], factors))
            for index in lattice.around(around.clip(lattice.shape))
            if prompt.region.within(lattice.core(index), factors).any()
        }
        yield from sorted(owners, key=lambda index: -owners[index]) or super().seeds(prompt, level)


class Part(MemoryCache[Seen]):
    """What a cache keeps under one name."""

    def __init__(self, whole: MemoryCache[Seen], name: Hashable) -> None:
        self._whole, self._name = whole, name

    def __contains__(self, key: Hashable) -> bool:
        return (self._name, key) in self._whole

    def get(self, key: Hashable, make: Callable[[], Seen]) -> Seen:
        return self._whole.get((self._name, key), make)
