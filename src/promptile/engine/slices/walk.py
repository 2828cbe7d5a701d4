"""One object, followed from the slice in which it is known through its neighbours.

Each connected piece is followed on its own: asked in the next slice by what this one shows. The answer counts if it
looks like the object, and if the model, asked back from there, finds again what it came from::

    slice k     slice k+1        and back                     a branch
    +------+    +------+         +------+
    |  oo  | -> |  ooo |   then  |  oo  |  the same: on       |  oo    oo |  oo was unknown: it is followed
    |  oo  |    |  oo  |         |  oo  |                     |  oooooooo |  from here, back and forth
    +------+    +------+         +------+
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from promptile.engine.evidence import agreement
from promptile.engine.slices.appearance import Appearance
from promptile.engine.slices.asking import Question
from promptile.engine.slices.marks import Limits, Marks
from promptile.engine.slices.pieces import Piece, Sheet, apart, bounds, cut, draw, union
from promptile.engine.slices.planes import LEAST_SCORE
from promptile.engine.slices.stack import Answer, Stack

AS_SURE = 0.8
"""How sure of an answer the model must be, as a part of how sure it was of the slice with marks it knew best."""

AGREEMENT = 0.5
"""IoU of a piece with what is found from its neighbour from which both are one object: as between tiles."""

SURE = 0.65
"""The same where the area changes fast: what leaks finds its way back less well."""

CHANGE_PER_MM = 0.2
"""Logarithm of how much an area may change over a millimetre without being doubted."""

_ALONE = 16
"""So many pieces of a slice are followed each on its own, the largest first; the others all at once."""

_CRUMB = 1e-3
"""A piece that was not known before and is smaller than this part of what leads to it is none."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of an object in a slice that has marks."""

    marks: Marks
    answer: Answer

    def admits(self, piece: Piece) -> bool:
        """Whether a piece that is found from other slices may be part of the object, too."""
        return not self.marks.whole and not piece.holds(self.marks.denied)


@dataclass(frozen=True, eq=False)
class Arrival:
    """An object in a slice that has just been looked at."""

    index: int
    sheet: Sheet
    score: float


class Walk:
    """An object as it is seen from one slice.

    Parameters
    ----------
    stack : Stack
    known : mapping from int to Known
        Slices with marks.
    start : int
        The one of them to begin in.
    limits : Limits
    arrived : callable
        Called with what was found, slice by slice.
    """

    def __init__(
        self,
        stack: Stack,
        known: Mapping[int, Known],
        start: int,
        limits: Limits,
        arrived: Callable[[Arrival], None] = lambda _: None,
    ) -> None:
        self.stack = stack
        self.start = start
        self.sheets: dict[int, Sheet] = {start: known[start].answer.sheet}
        self.scores: dict[int, float] = {start: known[start].answer.score}
        self.tiles = known[start].answer.tiles
        self.open_edge = known[start].answer.open_edge
        self.denied: set[int] = set()
        """Slices in which marks say that what comes from here is no part of the object."""
        self.known = known
        self.limits = limits
        self._arrived = arrived
        self._queue = deque((start, way, self.sheets[start]) for way in (1, -1))
        self._appearance = Appearance(stack, start, self.sheets[start])
        self._least = max(LEAST_SCORE, AS_SURE * max(each.answer.score for each in known.values()))

    def follow(self, first: int, last: int) -> None:
        """Go on until all slices from `first` to `last` are known; others wait."""
        waiting: deque[tuple[int, int, Sheet]] = deque()
        while self._queue:
            index, way, pieces = self._queue.popleft()
            if not self.limits.first <= index + way <= self.limits.last:
                continue
            if first <= index + way <= last:
                self._step(index, way, pieces)
            else:
                waiting.append((index, way, pieces))
        self._queue = waiting

    def _step(self, index: int, way: int, pieces: Sheet) -> None:
        """From some pieces of a slice to the next one."""
        there = index + way
        marked = self.known.get(there)
        if marked is not None:  # the user has seen that slice: what goes on into what is known there is known
            pieces = apart(pieces, marked.answer.sheet)
        groups = self._together(index, way, pieces)
        found = union(*[sheet for group in groups for sheet in self._into(index, way, group)])
        if marked is not None:
            apart_ = apart(found, marked.answer.sheet)
            found = tuple(piece for piece in apart_ if marked.admits(piece))
            if len(found) < len(apart_):
                self.denied.add(there)
        self._add(there, found, (way,))

    def _together(self, index: int, way: int, pieces: Sheet) -> Iterator[Sheet]:
        """The pieces of a slice that the next one is asked for together."""
        yield from _groups(pieces)

    def _ask(self, index: int, way: int, group: Sheet) -> Answer:
        """What the next slice shows of pieces of this one."""
        return self.stack.ask(Question(index + way, shown=group))

    def _into(self, index: int, way: int, group: Sheet) -> Iterator[Sheet]:
        """What the next slice shows of pieces of this one, if it is the same object; branches of it are followed."""
        there = index + way
        answer = self._ask(index, way, group)
        sheet = self._agreed(there, group, answer)
        if not sheet or answer.score < self._least or not self._appearance.fits(there, sheet):
            return
        judged = list(self._judged(index, group, sheet))
        same = [(part, back) for before, part, back in judged if self._same(before, part, back)]
        self.open_edge |= len(same) < len(judged)
        if not same:
            return
        self.tiles += answer.tiles
        self.open_edge |= answer.open_edge
        self.scores.setdefault(there, answer.score)
        for part, back in same:
            self._branch(index, way, back, sum(piece.count for piece in part))
            yield part

    def _agreed(self, index: int, shown: Sheet, answer: Answer) -> Sheet:
        """What a slice shows of a neighbour's pieces, as far as it looks like that."""
        sheet = cut(answer.sheet, self.limits.window)
        return self._appearance.agreed(index, shown, sheet) if sheet else ()

    def _judged(self, index: int, group: Sheet, sheet: Sheet) -> Iterator[tuple[Sheet, Sheet, Sheet]]:
        """What is judged together: pieces, what was found from them, and what is found back from that."""
        yield group, sheet, self._back(index, sheet)

    def _back(self, index: int, sheet: Sheet) -> Sheet:
        """What the slice shows from which a neighbour's pieces were found, asked from them."""
        groups = list(_groups(sheet))
        answers = [self.stack.ask(Question(index, shown=group)) for group in groups]
        return union(*(self._agreed(index, group, answer) for group, answer in zip(groups, answers, strict=True)))

    def _same(self, group: Sheet, sheet: Sheet, back: Sheet) -> bool:
        """Whether pieces and what was found from them are one object."""
        window = bounds(group) | bounds(back)
        known = draw(group, window)
        areas = [sum(piece.count for piece in some) for some in (group, sheet)]
        change = abs(np.log(areas[1] / areas[0])) / self.stack.thickness
        needed = SURE if change > CHANGE_PER_MM else AGREEMENT
        return agreement(draw(back, window), known, np.ones(window.shape, bool)) >= needed

    def _branch(self, index: int, way: int, back: Sheet, size: int) -> None:
        """Follow pieces that are known only from the next slice."""
        new = [piece for piece in apart(back, self.sheets[index]) if piece.count > _CRUMB * size]
        marked = self.known.get(index)
        if marked is not None:
            new = [piece for piece in new if marked.admits(piece)]
        self._add(index, tuple(new), (-way, way))

    def _add(self, index: int, sheet: Sheet, ways: Iterable[int]) -> None:
        """Pieces of a slice that nobody knew, to be followed."""
        before = self.sheets.get(index, ())
        new = apart(sheet, before)
        if new:
            self.sheets[index] = tuple(sorted((*before, *new), key=lambda piece: -piece.count))
            self._queue.extend((index, way, new) for way in ways)
            self._arrived(Arrival(index, self.sheets[index], self.scores.get(index, 0.0)))


def _groups(sheet: Sheet) -> Iterator[Sheet]:
    """The pieces that are asked for together."""
    yield from ((piece,) for piece in sheet[:_ALONE])
    if sheet[_ALONE:]:
        yield sheet[_ALONE:]
