"""The slices of a volume as images of their own, each asked as any image is, and each question only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.embeddings import MemoryCache
from promptile.engine.embedder import CACHE_BYTES
from promptile.engine.grow import Candidates
from promptile.engine.kept import Seen
from promptile.engine.objects import Grower, Grown
from promptile.engine.slices.asking import Question, prompt_of, without_mask
from promptile.engine.slices.pieces import Sheet, bounds, draw, pieces_of
from promptile.engine.slices.planes import Part, PlaneEmbedder, PlaneGrower
from promptile.errors import PromptError
from promptile.grid import Window
from promptile.models.protocols import Promptable
from promptile.prompts.types import Prompt
from promptile.rendering import Rendering
from promptile.sources.plane import Plane, across
from promptile.sources.protocol import Source

_ALIKE = 0.75
"""IoU with what a neighbour shows below which an answer is doubted."""

_ANSWERS = 64 * 2**20
"""Bytes of answers that are kept: what has not changed is not asked again."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a slice shows of an object."""

    sheet: Sheet
    score: float
    tiles: int
    open_edge: bool
    candidates: Candidates | None
    """What the model said first, in the slice; None where it was asked from what a neighbour shows."""

    @property
    def nbytes(self) -> int:
        held = 0 if self.candidates is None else self.candidates.masks.logits.nbytes
        return held + sum(piece.bits.nbytes + 400 for piece in self.sheet) + 400


NOTHING = Answer((), 0.0, 0, False, None)


class Stack:
    """The slices of a volume along one axis.

    Parameters
    ----------
    source : Source
        The volume.
    axis : int
    rendering : Rendering
        Of the whole volume.
    model : Promptable
        For images.
    tiling : tuple of two tuples of int
        Size and overlap of windows in a slice.
    """

    def __init__(
        self,
        source: Source,
        axis: int,
        rendering: Rendering,
        model: Promptable,
        tiling: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> None:
        self.source = source
        self.axis = axis
        self.rendering = rendering
        self.model = model
        self.tiling = tiling
        self.checkpoint: Callable[[], None] = lambda: None
        self._seen: MemoryCache[Seen] = MemoryCache(CACHE_BYTES)
        self._answers: MemoryCache[Answer] = MemoryCache(_ANSWERS)
        self._growers: dict[int, Grower] = {}

    @property
    def length(self) -> int:
        """How many slices there are."""
        return self.source.grid.shape[self.axis]

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance of samples in a slice, rows and columns."""
        rows, columns = across(self.axis)
        return self.source.grid.spacing[rows], self.source.grid.spacing[columns]

    @property
    def thickness(self) -> float:
        """Distance of neighbouring slices."""
        return self.source.grid.spacing[self.axis]

    def grower(self, index: int) -> Grower:
        """What grows objects in one slice."""
        if index not in self._growers:
            plane = Plane(self.source, self.axis, index)
            seen = Part(self._seen, index)
            embedder = PlaneEmbedder(plane, self.rendering, self.model, seen, lambda: self.checkpoint())
            self._growers[index] = PlaneGrower(embedder, *self.tiling)
        return self._growers[index]

    def rendered(self, index: int, window: Window) -> NDArray[np.float32]:
        """``window.shape``: what a model sees of a window of a slice, all channels in one; 0 where nothing is."""
        plane = self.grower(index).embedder.source
        channels = sorted(set(self.rendering.channels))
        first = [self.rendering.channels.index(channel) for channel in channels]
        look = Rendering(
            tuple(channels), *(tuple(side[i] for i in first) for side in (self.rendering.low, self.rendering.high))
        )
        seen: NDArray[np.float32] = look.apply(plane.read(window, 0, channels), plane.valid(window)).mean(axis=0)
        return seen

    def level_of(self, level: int) -> int:
        """The coarsest level of the slices that is as fine as a level of the volume."""
        wanted = [self.source.levels[level][a] for a in across(self.axis)]
        levels = self.grower(0).embedder.source.levels
        return max(i for i, f in enumerate(levels) if all(a <= b for a, b in zip(f, wanted, strict=True)))

    def liken(self, question: Question, level: int, known: Sheet) -> int | None:
        """Which answer to marks is most like an object of that size; None if there is one only."""
        seen = self.ask(question, level).candidates
        if seen is None or len(seen.masks.scores) < 2:
            return None
        fine = np.prod(self.grower(question.index).embedder.source.levels[seen.level])
        areas = np.count_nonzero(seen.masks.logits > 0, axis=(1, 2)) * fine
        wanted = sum(piece.count for piece in known)
        return int(np.argmin(np.abs(np.log(np.maximum(areas, 1) / wanted))))

    def ask(
        self,
        question: Question,
        level: int = 0,
        candidate: int | None = None,
        glimpse: Callable[[Candidates], None] = lambda _: None,
    ) -> Answer:
        """The object in one slice; at once if that was asked before."""
        told: list[Candidates] = []

        def first(candidates: Candidates) -> None:
            told.append(candidates)
            glimpse(candidates)

        def look() -> Answer:
            return self._look(question, level, candidate, first)

        answer = self._answers.get((*question.key, level, candidate), look)
        if answer.candidates is not None and not told:
            glimpse(answer.candidates)
        return answer

    def _look(
        self, question: Question, level: int, candidate: int | None, glimpse: Callable[[Candidates], None]
    ) -> Answer:
        prompt = prompt_of(question, self.model.card, self.spacing)
        grower = self.grower(question.index).at(level)
        if not question.shown:
            grown = grower.grow(prompt, candidate, glimpse)
            return _answer(grown, grown.candidates)
        try:
            grown = grower.grow(prompt)
            likest = _likest(grown.candidates, question.shown, grower)
            if likest != grown.candidates.taken:
                grown = grower.grow(prompt, likest)
            grown = _better(grown, prompt, question, grower)
        except PromptError:  # what the neighbour shows lies where this slice has no data
            if question.marks is not None:
                raise
            return NOTHING
        return _answer(grown, None)


def _answer(grown: Grown, candidates: Candidates | None) -> Answer:
    mask = grown.mask
    sheet = pieces_of(mask.read(mask.window), mask.window.start) if mask.count else ()
    return Answer(sheet, grown.score, grown.tiles, grown.open_edge, candidates)


def _better(grown: Grown, prompt: Prompt, question: Question, grower: Grower) -> Grown:
    """The answer, or the one to the box alone, if that is more like what is shown and the model is surer of it.

    Where the answer is empty, its score says nothing.

    Some models take a mask for more than a hint.
    """
    plain = without_mask(prompt)
    found = _overlap(grown, question.shown)
    if plain is None or question.marks is not None or found >= _ALIKE:
        return grown
    other = grower.grow(plain)
    surer = other.score > grown.score or not grown.mask.count
    return other if surer and _overlap(other, question.shown) > found else grown


def _overlap(grown: Grown, shown: Sheet) -> float:
    """IoU of an answer and what is shown."""
    window = grown.mask.window | bounds(shown)
    found, known = grown.mask.read(window), draw(shown, window)
    return float(np.count_nonzero(found & known) / np.count_nonzero(found | known))


def _likest(candidates: Candidates, shown: Sheet, grower: Grower) -> int:
    """Which candidate is most like what a neighbour shows."""
    if len(candidates.masks.scores) == 1:
        return 0
    factors = grower.embedder.source.levels[candidates.level]
    start = tuple(a * f for a, f in zip(candidates.window.start, factors, strict=True))
    size = tuple(n * f for n, f in zip(candidates.window.shape, factors, strict=True))
    known = draw(shown, Window(start, size))[tuple(slice(f // 2, None, f) for f in factors)]
    masks = candidates.masks.logits > 0
    axes = (1, 2)
    shared, all_ = (masks & known).sum(axes), (masks | known).sum(axes)
    return int(np.argmax(shared / np.maximum(all_, 1)))
