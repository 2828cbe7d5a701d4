"""An object, followed from slice to slice by what a model remembers of the slices before.

A trail begins with what is known in a slice and in the nearest other ones with marks. Each slice is asked for all of
the object that the trail leads to; whether the answer counts, is found from the slices as without a memory::

    slice       12      13      14      15
    known       o                               begins: the model remembers 12
    recalled            o ----> o ----> o       each answer is remembered for the next
    asked back  o <---- o <---- o <---- o       without the memory, which would only confirm itself
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from promptile.embeddings import MemoryCache
from promptile.engine.slices.asking import Question
from promptile.engine.slices.marks import Limits, Marks
from promptile.engine.slices.pieces import Sheet, bounds, cut, draw, pieces_of, union
from promptile.engine.slices.propagation import Found, Wish, propagate
from promptile.engine.slices.stack import Answer, Stack
from promptile.engine.slices.walk import Arrival, Known, Walk
from promptile.engine.views import check_masks
from promptile.errors import ModelError
from promptile.grid import Window, rescale
from promptile.models.protocols import Memorable, Memory, Model, Remembering
from promptile.prompts.regions import Raster
from promptile.prompts.types import Prompt

_TRAILS = 256 * 2**20
"""Bytes of what is remembered that are kept: what a mark does not change is not recalled again."""


def with_memory(model: Model) -> Remembering:
    """A model that has a memory of slices.

    Raises
    ------
    ModelError
        If it has none.
    """
    if not isinstance(model, Remembering):
        raise ModelError(
            f"Model {model.card.name!r} has no memory of slices: leave memory out, or use sam2.1-tiny or one of its kin"
        )
    return model


def recall(stack: Stack, marks: Sequence[Marks], wish: Wish) -> Found:
    """The object that marks mean, followed by what the model remembers; the propagator of a `RememberingStack`."""
    return propagate(stack, marks, replace(wish, walk=RememberingWalk))


@dataclass(frozen=True, eq=False)
class Trail:
    """What is remembered of an object when it has been followed to a slice.

    Parameters
    ----------
    key : bytes
        What tells it from all others: where it began, and the way that it took.
    level : int
    window : Window
        Of that level: where all its slices are looked at.
    memory : Memory
    answer : Answer
        What the last slice shows.
    """

    key: bytes
    level: int
    window: Window
    memory: Memory
    answer: Answer

    @property
    def nbytes(self) -> int:
        return self.memory.nbytes + self.answer.nbytes


class RememberingStack(Stack):
    """`Stack` whose model remembers slices."""

    def begin(self, index: int, known: Mapping[int, Sheet]) -> Trail | None:
        """A trail from the slice `index` and others in which the object is known; None if no window shows it whole."""
        level, window = self._window(index, known[index])
        inside = {i: sheet for i, sheet in known.items() if self._holds(window, level, sheet)}
        if index not in inside:
            return None
        said = hashlib.sha256(repr((index, level, window)).encode())
        for i, sheet in sorted(inside.items()):
            said.update(repr((i, *(piece.digest for piece in sheet))).encode())
        key = said.digest()

        def remember() -> Trail:
            memory = self._model.remember([self._memorable(i, window, level, inside[i]) for i in sorted(inside)])
            return Trail(key, level, window, memory, Answer(known[index], 1.0, 0, False, None))

        return self._trails.get(key, remember)

    def follow(self, trail: Trail, index: int, way: int) -> Trail:
        """A trail one slice further, at `index`; its answer is what that slice shows."""
        key = hashlib.sha256(trail.key + repr((index, way)).encode()).digest()
        return self._trails.get(key, lambda: self._further(trail, key, index, way))

    def leads_on(self, trail: Trail) -> bool:
        """Whether all that was found last lies in the trail's window."""
        return self._holds(trail.window, trail.level, trail.answer.sheet)

    @cached_property
    def _model(self) -> Remembering:
        return with_memory(self.model)

    @cached_property
    def _trails(self) -> MemoryCache[Trail]:
        return MemoryCache(_TRAILS)

    def _further(self, trail: Trail, key: bytes, index: int, way: int) -> Trail:
        embedder = self.grower(index).embedder
        seen = embedder.seen(trail.window, trail.level)
        self.checkpoint()
        masks, memory = self._model.recall(trail.memory, seen.embedding, index, way)
        check_masks(masks, self.model.card, trail.window.shape)
        sheet = self._drawn(trail, (masks.logits[0] > 0) & seen.valid)
        answer = Answer(sheet, float(masks.scores[0]), 1, False, None)
        if sheet and not self._whole(trail, sheet):  # coarse, or cut by the window: the slice itself knows more
            asked = self.ask(Question(index, shown=sheet))
            answer = replace(asked, score=min(asked.score, answer.score), tiles=asked.tiles + 1)
        return Trail(key, trail.level, trail.window, memory, answer)

    def _memorable(self, index: int, window: Window, level: int, sheet: Sheet) -> Memorable:
        grower = self.grower(index)
        mask = _region(sheet).within(window, grower.embedder.source.levels[level])
        return Memorable(index, grower.embedder.seen(window, level).embedding, mask)

    def _window(self, index: int, sheet: Sheet) -> tuple[int, Window]:
        """Where a slice shows pieces best: a level, and a window of it."""
        grower = self.grower(index)
        prompt = Prompt(1, np.empty((0, 2)), np.empty(0, bool), None, _region(sheet))
        level = grower.choose_level(prompt)
        middle = rescale(prompt.extent, grower.embedder.source.levels[level]).mean(axis=0)
        lattice = grower.lattices[level]
        return level, lattice[lattice.central(middle)]

    def _fine(self, window: Window, level: int) -> Window:
        """The samples of full resolution that a window covers."""
        factors = self.grower(0).embedder.source.levels[level]
        start = tuple(a * f for a, f in zip(window.start, factors, strict=True))
        return Window(start, tuple(n * f for n, f in zip(window.shape, factors, strict=True)))

    def _holds(self, window: Window, level: int, sheet: Sheet) -> bool:
        return bool(sheet) and bounds(sheet) in self._fine(window, level)

    def _whole(self, trail: Trail, sheet: Sheet) -> bool:
        """Whether pieces are drawn at full resolution and end within the trail's window."""
        shape = self.grower(0).embedder.source.grid.shape
        return trail.level == 0 and bounds(sheet).grow(1).clip(shape) in trail.window

    def _drawn(self, trail: Trail, found: NDArray[np.bool_]) -> Sheet:
        """What was found in a trail's window as pieces of the slice."""
        plane = self.grower(0).embedder.source
        rows, columns = plane.levels[trail.level]
        fine = self._fine(trail.window, trail.level)
        inside = fine.clip(plane.grid.shape)
        samples = found.repeat(rows, axis=0).repeat(columns, axis=1)[inside.within(fine).slices]
        return pieces_of(samples, inside.start)


class RememberingWalk(Walk):
    """`Walk` through a `RememberingStack`."""

    stack: RememberingStack

    def __init__(
        self,
        stack: RememberingStack,
        known: Mapping[int, Known],
        start: int,
        limits: Limits,
        arrived: Callable[[Arrival], None] = lambda _: None,
    ) -> None:
        super().__init__(stack, known, start, limits, arrived)
        self._trails: dict[tuple[int, int, frozenset[bytes]], Trail | None] = {}

    def _together(self, index: int, way: int, pieces: Sheet) -> Iterator[Sheet]:
        if pieces and self._trail(index, way, pieces) is not None:
            yield pieces
        else:
            yield from super()._together(index, way, pieces)

    def _ask(self, index: int, way: int, group: Sheet) -> Answer:
        trail = self._trail(index, way, group)
        self._trails.pop(_key(index, way, group))  # nobody comes this way again, and memories are large
        if trail is None:
            return super()._ask(index, way, group)
        further = self.stack.follow(trail, index + way, way)
        if self.stack.leads_on(further):
            self._trails[_key(index + way, way, cut(further.answer.sheet, self.limits.window))] = further
        return further.answer

    def _judged(self, index: int, group: Sheet, sheet: Sheet) -> Iterator[tuple[Sheet, Sheet, Sheet]]:
        """Pieces that were asked for together are judged apart: one may leak or end where another goes on.

        What leads back to the same piece is judged together; what leads to none is no part of the object.
        """
        together: list[tuple[Sheet, Sheet, Sheet]] = []
        for part in super()._together(index, 0, sheet):
            back = self._back(index, part)
            before = tuple(one for one in group if any(one.touches(other) for other in back))
            joined = [each for each in together if set(each[0]) & set(before)]
            together = [each for each in together if each not in joined]
            if before:
                known, parts, backs = zip(*joined, (before, part, back), strict=True)
                together.append((tuple(dict.fromkeys(chain(*known))), tuple(chain(*parts)), union(*backs)))
        yield from together

    def _trail(self, index: int, way: int, pieces: Sheet) -> Trail | None:
        """The trail that led to pieces; a new one from there if none did, or not to exactly them."""
        key = _key(index, way, pieces)
        if key not in self._trails:
            whole = index == self.start and pieces == self.sheets[index]
            self._trails[key] = self.stack.begin(index, {**(self._beside() if whole else {}), index: pieces})
        return self._trails[key]

    def _beside(self) -> dict[int, Sheet]:
        """The nearest other slices with marks, on either side, and what is known in them."""
        marked = sorted(self.known)
        at = marked.index(self.start)
        return {i: self.known[i].answer.sheet for i in marked[max(at - 1, 0) : at + 2]}


def _key(index: int, way: int, pieces: Sheet) -> tuple[int, int, frozenset[bytes]]:
    return index, way, frozenset(piece.digest for piece in pieces)


def _region(sheet: Sheet) -> Raster:
    window = bounds(sheet)
    return Raster(window, draw(sheet, window))
