"""One prompt, one object: from the window in which a prompt lies over as many windows as the object needs.

Where an answer reaches a border that is not the image's, the neighbour is asked with what the overlap shows.
Its answer is accepted if both agree there; else it is asked again, else the object stays open at that edge::

    window A                      window B: known from A     asked: is B's answer like A's in the overlap?
    +-----------+                      +-----------+
    |   oooooooo|                      |ooooo      |         yes: accept, look at B's own borders
    |     oooooo|  reaches a border -> |ooooo      |         no : ask again with points where they differ
    +-----------+                      +-----------+         no : open edge
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from promptile.engine.blend import Answers
from promptile.engine.embedder import Embedder
from promptile.engine.evidence import agreement, corrections, interior_points, most_missed
from promptile.engine.lattice import Index, Lattice
from promptile.errors import PromptError
from promptile.grid import Window
from promptile.models.protocols import Masks, WindowPrompt
from promptile.prompts.types import Prompt

_ATTEMPTS = 3
"""So often a neighbour is asked, again with points where its answer differs from what is known."""

_MISSED = 0.5
"""A piece is denied where more of it than this part is missed."""

REACH = 3
"""An answer that comes this close to a border, in samples, may go on behind it: models are weakest there."""

_VISITS, _IN_VAIN = 16, 3
"""A window is asked again where a neighbour finds object that it denied: so often in all, and so often without gain."""


class Walk:
    """The growth of one object at one level.

    Parameters
    ----------
    embedder : Embedder
    prompt : Prompt
        In index coordinates of level 0.
    level : int
    lattice : Lattice
        The level's windows.
    """

    def __init__(self, embedder: Embedder, prompt: Prompt, level: int, lattice: Lattice) -> None:
        self.embedder = embedder
        self.prompt = prompt
        self.level = level
        self.lattice = lattice
        self.answers = Answers(lattice)
        self._contested: set[Index] = set()
        self._factors = embedder.source.levels[level]
        self._queue: deque[Index] = deque()
        self._visits: Counter[Index] = Counter()
        self._in_vain: Counter[Index] = Counter()
        self._scores: dict[Index, float] = {}

    @property
    def score(self) -> float:
        """Mean of the model's own scores over the windows."""
        return float(np.mean(list(self._scores.values()))) if self._scores else 0.0

    @property
    def open_edge(self) -> bool:
        """Whether the object ends somewhere because two answers disagreed there."""
        return any(index not in self.answers or self._denies(index) for index in self._contested)

    def seed(self, index: Index, candidate: int | None = None) -> Candidates:
        """Ask the window in which (part of) the prompt lies, and take its best candidate, or the one that is named."""
        asked = self._on_image(index, self.prompt.within(self.lattice[index], self._factors))
        masks = self.embedder.converse(self.lattice[index], self.level, asked)
        self._visits[index] += 1
        taken = int(np.argmax(masks.scores)) if candidate is None else min(candidate, len(masks.scores) - 1)
        self._accept(index, masks, taken)
        return Candidates(self.lattice[index], self.level, masks, taken)

    def _on_image(self, index: Index, asked: WindowPrompt) -> WindowPrompt:
        """The question without points where the image has no data.

        Raises
        ------
        PromptError
            If nothing remains that is on the object.
        """
        there = self.embedder.on_image(self.lattice[index], self.level, asked.points)
        if there.all():
            return asked
        kept = replace(asked, points=asked.points[there], labels=asked.labels[there])
        if kept.labels.any() or asked.box is not None or asked.mask is not None:
            return kept
        raise PromptError("its points lie where the image has no data: move them, or use a box")

    def grow(self) -> None:
        """Ask neighbours until the object is closed or the models disagree."""
        while self._queue:
            self.ask(self._queue.popleft())

    def ask(self, index: Index, shown: Shown | None = None) -> bool:
        """Ask a window from what is known of it; whether its answer was accepted.

        Parameters
        ----------
        index : tuple of int
        shown : Shown, optional
            What is known; without it, what its neighbours' answers show.
        """
        self._visits[index] += 1
        known = shown or self._shown(index)
        if not (known.logits > 0).any():
            return False
        asked = self._question(index, known)
        likest, trust = -1.0, self.embedder.model.card.trust
        for _ in range(_ATTEMPTS):
            masks = self.embedder.predict(self.lattice[index], self.level, asked)
            agreements = [agreement(m > 0, known.logits > 0, known.where, known.slack) for m in masks.logits]
            best = int(np.argmax(agreements))
            if agreements[best] > likest:
                likest, taken = agreements[best], (masks, best)
            if likest >= trust.sure:
                break
            asked = corrections(asked, masks.logits[best], known.logits, known.where)
        if likest >= trust.believed:
            self._accept(index, *taken)
            return True
        self._contested.add(index)
        self._in_vain[index] += 1
        return False

    def _shown(self, index: Index) -> Shown:
        """What other answers show of a window; where they are silent, the object that its own answer found."""
        window = self.lattice[index]
        logits, where = self.answers.merged(window, without={index})
        if index in self.answers:
            own = self.answers.merged(window)[0]
            add = ~where & (own > 0)
            logits, where = np.where(add, own, logits), where | add
        return Shown(logits, where)

    def _question(self, index: Index, known: Shown) -> WindowPrompt:
        """The user's own prompt in this window, what is known as a mask, and points well inside it."""
        asked = self.prompt.within(self.lattice[index], self._factors)
        mask = known.logits if asked.mask is None else np.where(known.where, known.logits, asked.mask)
        found = interior_points(known.logits > 0, self._free_points(asked))
        return replace(
            asked,
            points=np.concatenate([asked.points, found]),
            labels=np.concatenate([asked.labels, np.ones(len(found), bool)]),
            mask=mask.astype(np.float32),
        )

    def _free_points(self, asked: WindowPrompt) -> int:
        """How many points the model takes beside the user's."""
        most = self.embedder.model.card.max_points
        return 8 if most is None else max(most - len(asked.points) - 2 * (asked.box is not None), 1)

    def _accept(self, index: Index, masks: Masks, best: int) -> None:
        before = np.count_nonzero(self.answers.get(index) > 0) if index in self.answers else 0
        self.answers.put(index, masks.logits[best])
        self._contested.discard(index)
        self._scores[index] = float(masks.scores[best])
        mask = masks.logits[best] > 0
        self._in_vain[index] += bool(np.count_nonzero(mask) <= before)
        for neighbour in itertools.chain(self._exits(index, mask), self._denials(index, mask)):
            self._queue.append(neighbour)

    def _may_be_asked(self, index: Index) -> bool:
        """Whether a window does not wait already, and was not asked too often."""
        return self._visits[index] < _VISITS and self._in_vain[index] < _IN_VAIN and index not in self._queue

    def _exits(self, index: Index, mask: NDArray[np.bool_]) -> Iterator[Index]:
        """Neighbours that were not asked yet and into which the object goes on."""
        for axis in range(self.lattice.ndim):
            for step in (-1, 1):
                neighbour = self.lattice.beside(index, axis, step)
                if neighbour is None or neighbour in self.answers or not self._may_be_asked(neighbour):
                    continue
                if side(mask, axis, step, REACH).any():
                    yield neighbour

    def _denials(self, index: Index, mask: NDArray[np.bool_]) -> Iterator[Index]:
        """Windows that have answered and missed a piece of the object that this one shows to be part of it.

        A model sees two arms of one river as two objects where they are joined outside of its window.
        """
        for other in self.lattice.around(self.lattice[index]):
            if other == index or other not in self.answers or not self._may_be_asked(other):
                continue  # before it is compared, which takes long
            if self._misses(other, index, mask):
                yield other

    def _denies(self, index: Index) -> bool:
        """Whether a window's answer misses a piece that another window's shows."""
        others = [o for o in self.lattice.around(self.lattice[index]) if o != index and o in self.answers]
        return any(self._misses(index, other, self.answers.get(other) > 0) for other in others)

    def _misses(self, index: Index, other: Index, mask: NDArray[np.bool_]) -> bool:
        """Whether `index`'s answer misses most of a piece of `other`'s `mask` where both look."""
        inner, outer = self.lattice[index], self.lattice[other]
        shared = inner & outer
        mine = self.answers.get(index)[shared.within(inner).slices] > 0
        return most_missed(mask[shared.within(outer).slices], mine) > _MISSED


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a model answered in the window from which an object grew.

    Parameters
    ----------
    window : Window
        In index coordinates of `level`.
    level : int
    masks : Masks
        All of them.
    taken : int
        Which one the object grew from.
    """

    window: Window
    level: int
    masks: Masks
    taken: int

    @property
    def by_size(self) -> list[int]:
        """Which masks there are, a part before the whole that holds it."""
        sizes = np.count_nonzero(self.masks.logits.reshape(len(self.masks.scores), -1) > 0, axis=1)
        return [int(i) for i in np.argsort(sizes, kind="stable")]


@dataclass(frozen=True, eq=False)
class Shown:
    """What is known of a window before it is asked.

    Parameters
    ----------
    logits : ndarray of float32, shape of the window
        0 where nothing is known.
    where : ndarray of bool, shape of the window
        Where something is known.
    slack : ndarray of bool, shape of the window, optional
        Where an answer may differ from what is known: along the steps of a coarse boundary.
    """

    logits: NDArray[np.float32]
    where: NDArray[np.bool_]
    slack: NDArray[np.bool_] | None = None


def side(mask: NDArray[np.bool_], axis: int, step: int, depth: int) -> NDArray[np.bool_]:
    """The outermost `depth` samples of a mask along its low (`step` -1) or high (1) side of an axis."""
    lines = slice(None, depth) if step < 0 else slice(-depth, None)
    return mask[(slice(None),) * axis + (lines,)]
