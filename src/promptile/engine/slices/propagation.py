"""From marks in some slices to the object in all of them.

Boxes and regions say what the object is in their slices; what lies between two of them is seen from both. Then the
clicks count, one after the other: each changes what stood before it, as far as the change is connected with it::

    slice       12        20              31
    marks       box                      click            what is seen from 12 and from 31 is blended between them
    seen from    o ------->  ... <-------- o --->         of what differs from before, what the click asks for counts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from promptile.engine.grow import Candidates
from promptile.engine.slices.asking import Question
from promptile.engine.slices.blending import blended
from promptile.engine.slices.correcting import corrected, spread
from promptile.engine.slices.marks import Limits, Marks
from promptile.engine.slices.pieces import Sheet, apart, bounds, cut
from promptile.engine.slices.planes import LEAST_SCORE
from promptile.engine.slices.stack import Answer, Stack
from promptile.engine.slices.walk import Arrival, Known, Walk
from promptile.errors import PromptError

SURELY = 0.9
"""The model's own guess from which a click alone is believed, whatever it means."""

_LIKE_SIZE = 4.0
"""So many times larger or smaller than next to it, and an answer to a click alone is doubted."""

_WIDER = 1 / 8
"""What the box around such a click leaves free on each side, as a part of its side."""


@dataclass(frozen=True, eq=False)
class Found:
    """An object in all slices."""

    sheets: Mapping[int, Sheet]
    score: float
    tiles: int
    open_edge: bool
    candidates: Candidates
    """What the model said first, in the slice `start`."""
    start: int


@dataclass(frozen=True, eq=False)
class Wish:
    """How an object is looked for.

    Parameters
    ----------
    limits : Limits
    level : int
        At which marks are asked, in their slices.
    candidate : int, optional
        Which of the first answers to take.
    glimpse : callable
        Called with the first answers, in their slice.
    arrived : callable
        Called with each slice as it comes.
    walk : type of Walk
        What follows it from a slice to the next.
    """

    limits: Limits
    level: int = 0
    candidate: int | None = None
    glimpse: Callable[[Candidates], None] = lambda _: None
    arrived: Callable[[Arrival], None] = lambda _: None
    walk: type[Walk] = Walk


class Propagator(Protocol):
    """Anything that follows an object through slices."""

    def __call__(self, stack: Stack, marks: Sequence[Marks], wish: Wish) -> Found:
        """The object that marks mean."""
        ...


def propagate(stack: Stack, marks: Sequence[Marks], wish: Wish) -> Found:
    """The object that marks mean, followed from slice to slice by the model's answers alone."""
    first = marks[0]
    answer = stack.ask(Question(first.index, first), wish.level, wish.candidate, wish.glimpse)
    if answer.candidates is None:
        raise PromptError("The first slice has no marks of its own: add a point, or a box")
    known = {first.index: Known(first, _limited(answer, wish.limits))}
    for more in (said for said in marks[1:] if said.whole):
        known[more.index] = Known(more, _limited(stack.ask(Question(more.index, more), wish.level), wish.limits))
    state = _State(stack, known, wish, wish.arrived)
    sheets = state.all()
    for click in (said for said in marks[1:] if not said.whole):
        told = _told(stack, known, wish, click, sheets)
        if told is None:
            continue
        known = {**known, click.index: told}
        state = _State(stack, known, wish)
        before, sheets = sheets, spread(sheets, state.all(), click, stack)
        for index in sorted(index for index, sheet in sheets.items() if sheet != before.get(index)):
            wish.arrived(Arrival(index, sheets[index], told.answer.score))
    return Found(sheets, state.score, state.tiles, state.open_edge, answer.candidates, first.index)


def _told(
    stack: Stack, known: Mapping[int, Known], wish: Wish, click: Marks, stood: Mapping[int, Sheet]
) -> Known | None:
    """What is known of a slice after a click; None if that says nothing: not the object, where nothing was found."""
    marks = known[click.index].marks.with_clicks(click) if click.index in known else click
    shown = stood.get(click.index, ())
    if not shown and not click.labels.any():
        return None
    if not shown:
        return Known(marks, _limited(_part(stack, wish, click, stood), wish.limits))
    answer = stack.ask(Question(click.index, replace(marks, box=None, region=None), shown), wish.level)
    sure = answer.score >= LEAST_SCORE  # else the model is at its wits' end
    sheet = corrected(shown, answer.sheet if sure else shown, click, stack.spacing)
    return Known(marks, _limited(replace(answer, sheet=sheet), wish.limits))


class _State:
    """What is seen from all slices that have marks."""

    def __init__(
        self,
        stack: Stack,
        known: Mapping[int, Known],
        wish: Wish,
        arrived: Callable[[Arrival], None] = lambda _: None,
    ) -> None:
        self._stack = stack
        self._known = dict(sorted(known.items()))
        self._limits = wish.limits
        self._walks = {i: wish.walk(stack, self._known, i, wish.limits, arrived) for i in self._known}

    def all(self) -> dict[int, Sheet]:
        """The object in all slices that hold any of it."""
        for walk in self._walks.values():
            walk.follow(self._limits.first, self._limits.last)
        reached = sorted({index for walk in self._walks.values() for index in walk.sheets})
        return {index: sheet for index in reached if (sheet := self._sheet(index))}

    @property
    def score(self) -> float:
        """Mean of the model's own scores over the slices."""
        return float(np.mean([score for walk in self._walks.values() for score in walk.scores.values()]))

    @property
    def tiles(self) -> int:
        return sum(walk.tiles for walk in self._walks.values())

    @property
    def open_edge(self) -> bool:
        return any(walk.open_edge for walk in self._walks.values())

    def _sheet(self, index: int) -> Sheet:
        """What marks say, or is seen from the nearest ones on both sides; pieces apart from that from farther ones."""
        if index in self._known:
            sheet, near = self._known[index].answer.sheet, []
        else:
            near = self._beside(index)
            sheet = self._between(index, near)
        for start, walk in self._walks.items():
            if start not in near:
                sheet = (*sheet, *apart(walk.sheets.get(index, ()), sheet))
        return sheet

    def _beside(self, index: int) -> list[int]:
        """The nearest slices with marks, on either side."""
        below = [i for i in self._known if i < index][-1:]
        return below + [i for i in self._known if i > index][:1]

    def _between(self, index: int, near: list[int]) -> Sheet:
        seen = [self._walks[i].sheets.get(index, ()) for i in near]
        if len(near) == 1 or not all(seen):
            return next(filter(None, seen), ())
        low, high = near
        doubted = high in self._walks[low].denied, low in self._walks[high].denied
        share = (index - low) / (high - low)
        return blended(seen[0], seen[1], share, self._stack.spacing, doubted=doubted)


def _limited(answer: Answer, limits: Limits) -> Answer:
    sheet = cut(answer.sheet, limits.window)
    return Answer(sheet, answer.score, answer.tiles, answer.open_edge, answer.candidates)


def _part(stack: Stack, wish: Wish, marks: Marks, stood: Mapping[int, Sheet]) -> Answer:
    """What a click means in a slice in which nothing was found: about as much as in the nearest slice with something.

    Where it lies within the bounds of what is found there, the model is shown that. Else, where the model is not sure
    and thinks of something of another size, it is asked by a box of that size.
    """
    question = Question(marks.index, marks)
    if not stood:
        return stack.ask(question, wish.level)
    near = stood[min(stood, key=lambda i: abs(i - marks.index))]
    if bounds(near).holds(marks.points).any():
        answer = stack.ask(replace(question, shown=near), wish.level)
        if answer.score >= LEAST_SCORE and _on(answer.sheet, marks):
            return answer
    answer = stack.ask(question, wish.level, stack.liken(question, wish.level, near))
    areas = [sum(piece.count for piece in sheet) for sheet in (answer.sheet, near)]
    if answer.score >= SURELY or (areas[0] and abs(np.log(areas[0] / areas[1])) < np.log(_LIKE_SIZE)):
        return answer
    on = marks.points[marks.labels]
    box = np.stack([bounds(near).start, bounds(near).stop]) - 0.5
    outside = not ((on > box[0]) & (on < box[1])).all()
    box = box + (on.mean(axis=0) - box.mean(axis=0)) * outside
    wide = (box[1] - box[0]) * _WIDER
    box = np.stack([np.minimum(box[0] - wide, on.min(axis=0) - 1), np.maximum(box[1] + wide, on.max(axis=0) + 1)])
    return stack.ask(Question(marks.index, replace(marks, box=box)), wish.level)


def _on(sheet: Sheet, marks: Marks) -> bool:
    return any(piece.holds(marks.points) for piece in sheet)
