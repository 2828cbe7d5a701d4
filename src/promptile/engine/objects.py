"""From a prompt to a finished object: choose a level, grow, refine at full resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.blend import Answers
from promptile.engine.embedder import Embedder
from promptile.engine.grow import Candidates, Shown, Walk
from promptile.engine.lattice import Index, Lattice
from promptile.grid import Window, rescale
from promptile.masks import ObjectMask, blocks_of
from promptile.prompts.types import Prompt

_MARGIN = 1 / 16
"""What a window must show around a box, as a part of its side."""


@dataclass(frozen=True, eq=False)
class Grown:
    """A finished object."""

    mask: ObjectMask
    score: float
    tiles: int
    """Windows that answered, over all levels."""
    open_edge: bool
    """Whether it ends where two answers disagreed, not where the object ends."""
    level: int
    """Level at which it was found."""
    candidates: Candidates
    """What the model answered first."""


class Grower:
    """Grows objects over one image.

    Parameters
    ----------
    embedder : Embedder
    size, overlap : tuple of int
        Of the windows, per axis.
    level : int, optional
        Level at which points are asked; boxes and masks are asked at the finest level that shows them whole.
    """

    def __init__(
        self, embedder: Embedder, size: tuple[int, ...], overlap: tuple[int, ...], level: int | None = None
    ) -> None:
        self.embedder = embedder
        self.level = level
        self.lattices = [
            Lattice(embedder.source.grid.coarsen(factors).shape, size, overlap) for factors in embedder.source.levels
        ]

    def grow(
        self, prompt: Prompt, candidate: int | None = None, glimpse: Callable[[Candidates], None] = lambda _: None
    ) -> Grown:
        """The object that a prompt means.

        Parameters
        ----------
        prompt : Prompt
        candidate : int, optional
            The answer to start from; without it, the best one.
        glimpse : callable, optional
            Called with what the first window shows, before the object is followed into others and drawn finely.
        """
        level = self.choose_level(prompt)
        walk = Walk(self.embedder, prompt, level, self.lattices[level])
        first, *others = self.seeds(prompt, level)
        candidates = walk.seed(first, candidate)
        glimpse(candidates)
        walk.grow()
        for index in others:
            if index not in walk.answers:
                walk.seed(index)
                walk.grow()
        if level == 0:
            return Grown(walk.answers.mask(), walk.score, len(walk.answers), walk.open_edge, 0, candidates)
        fine = _Refinement(self.embedder, prompt, self.lattices[0], walk)
        mask = fine.mask()
        tiles = len(walk.answers) + len(fine.walk.answers)
        return Grown(mask, walk.score, tiles, walk.open_edge or fine.walk.open_edge, level, candidates)

    def at(self, level: int | None) -> Grower:
        """The same, asked at another level; it shares what was looked at."""
        other = copy(self)
        other.level = level
        return other

    def choose_level(self, prompt: Prompt) -> int:
        """The finest level at which a window shows the prompt's box or region with a margin."""
        if prompt.box is None and prompt.region is None:
            return min(self.level or 0, len(self.lattices) - 1)
        for level in range(len(self.lattices)):
            window, frame = self._window_of(prompt, level)
            if _shows(window, frame, self.lattices[level].shape):
                return level
        return len(self.lattices) - 1

    def seeds(self, prompt: Prompt, level: int) -> Iterator[Index]:
        """Windows to start from: the one around the box or region, else around most points, then around the rest."""
        lattice, factors = self.lattices[level], self.embedder.source.levels[level]
        if prompt.box is not None or prompt.region is not None:
            yield lattice.central(rescale(prompt.extent, factors).mean(axis=0))
        points = rescale(prompt.points[prompt.labels], factors)
        if prompt.box is None and prompt.region is None:
            every = [lattice.central(p) for p in (points.mean(axis=0), *points)]
            first = max(every, key=lambda index: int(lattice[index].holds(points).sum()))
            yield first
            points = points[~lattice[first].holds(points)]
        for point in points:
            yield lattice.central(point)

    def _window_of(self, prompt: Prompt, level: int) -> tuple[Window, NDArray[np.float64]]:
        frame = rescale(prompt.extent, self.embedder.source.levels[level])
        return self.lattices[level][self.lattices[level].central(frame.mean(axis=0))], frame


def _shows(window: Window, frame: NDArray[np.float64], shape: Sequence[int]) -> bool:
    """Whether a window shows a frame ``(2, ndim)`` with a margin, or as far as the image reaches."""
    for axis, length in enumerate(shape):
        margin = _MARGIN * window.shape[axis]
        low = max(frame[0, axis] - margin, -0.5)
        high = min(frame[1, axis] + margin, length - 0.5)
        if low < window.start[axis] - 0.5 or high > window.stop[axis] - 0.5:
            return False
    return True


class _Refinement:
    """An object found at a coarse level, asked again at level 0 along its boundary; its inside is known."""

    def __init__(self, embedder: Embedder, prompt: Prompt, lattice: Lattice, coarse: Walk) -> None:
        self.coarse: Answers = coarse.answers
        self.factors = embedder.source.levels[coarse.level]
        self.walk = Walk(embedder, prompt, 0, lattice)
        for index in self._boundary():
            if index not in self.walk.answers:
                self.walk.ask(index, self._shown(lattice[index]))
        self.walk.grow()

    def mask(self) -> ObjectMask:
        """Level 0 where it was asked, the coarse answer elsewhere."""
        covered = self.walk.answers.extent | self._fine(self.coarse.extent)

        def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
            for block in blocks_of(covered.clip(self.walk.lattice.shape)):
                inside = block.clip(self.walk.lattice.shape)
                logits, known = self.walk.answers.merged(inside)
                yield block, np.where(known, logits, self._shown(inside).logits) > 0

        return ObjectMask.collect(self.walk.lattice.shape, parts())

    def _boundary(self) -> list[Index]:
        """Windows of level 0 whose cores meet the boundary of the coarse object, in order."""
        found: set[Index] = set()
        lattice = self.walk.lattice
        for block in blocks_of(self.coarse.extent):
            inside = block.clip(self.coarse.lattice.shape)
            edge = self._edge(inside)
            if not edge.any():
                continue
            for index in lattice.around(self._fine(inside).clip(lattice.shape)):
                core = self._coarse_window(lattice.core(index)) & inside
                if edge[core.within(inside).slices].any():
                    found.add(index)
        return sorted(found)

    def _edge(self, window: Window) -> NDArray[np.bool_]:
        """Coarse samples within one of the object's boundary."""
        around = window.grow(1).clip(self.coarse.lattice.shape)
        mask = self.coarse.merged(around)[0] > 0
        near = np.ones((3,) * mask.ndim, bool)
        edge = ndimage.binary_dilation(mask, near) & ~ndimage.binary_erosion(mask, near, border_value=1)
        cut: NDArray[np.bool_] = edge[window.within(around).slices]
        return cut

    def _shown(self, window: Window) -> Shown:
        """The coarse logits, each repeated over the samples that it covers."""
        outer = self._coarse_window(window)
        places = np.ix_(
            *(
                np.arange(a, b) // f - first
                for a, b, f, first in zip(window.start, window.stop, self.factors, outer.start, strict=True)
            )
        )
        logits, known = self.coarse.merged(outer)
        return Shown(logits[places], known[places], self._edge(outer)[places])

    def _coarse_window(self, window: Window) -> Window:
        """Coarse samples that cover a window of level 0."""
        start = [a // f for a, f in zip(window.start, self.factors, strict=True)]
        stop = [-(-b // f) for b, f in zip(window.stop, self.factors, strict=True)]
        return Window.between(start, stop)

    def _fine(self, window: Window) -> Window:
        """Samples of level 0 that coarse samples cover."""
        return Window(
            tuple(a * f for a, f in zip(window.start, self.factors, strict=True)),
            tuple(n * f for n, f in zip(window.shape, self.factors, strict=True)),
        )
