"""`SliceGrower`: what turns prompts into objects of a volume with a model for images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from promptile.engine.embedder import Embedder
from promptile.engine.evidence import interior_points
from promptile.engine.grow import Candidates
from promptile.engine.lattice import Index, Lattice
from promptile.engine.objects import Grower, Grown
from promptile.engine.slices.marks import Limits, Marks, limits_of, marks_of
from promptile.engine.slices.options import Slices
from promptile.engine.slices.propagation import Found, Propagator, Wish, propagate
from promptile.engine.slices.remembering import RememberingStack, recall
from promptile.engine.slices.solid import section, stacked, voted
from promptile.engine.slices.stack import Stack
from promptile.engine.slices.walk import Arrival
from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.models.protocols import Masks, Promptable
from promptile.prompts.regions import Raster
from promptile.prompts.types import Prompt
from promptile.rendering import Rendering
from promptile.sources.plane import across, thick
from promptile.sources.protocol import Source

__all__ = ["SliceGrower"]


class SliceGrower(Grower):
    """Grows objects through a volume, slice by slice.

    Parameters
    ----------
    source : Source
        The volume.
    rendering : Rendering
    model : Promptable
        For images.
    tiling : tuple of two tuples of int
        Size and overlap of the windows in a slice.
    slices : Slices
        With its axis chosen.
    level : int, optional
        Of the volume, at which points are asked.

    Attributes
    ----------
    arrived : callable
        Called with every slice as it is found, in the thread that asks: its index along `axis` and its pieces.
    propagator : Propagator
        What follows an object through the slices.
    """

    def __init__(
        self,
        source: Source,
        rendering: Rendering,
        model: Promptable,
        tiling: tuple[tuple[int, ...], tuple[int, ...]],
        slices: Slices,
        level: int | None = None,
    ) -> None:
        self.slices = slices
        self.axis = int(slices.axis)
        others = [axis for axis in range(3) if axis != self.axis and slices.planes == 3]
        kind = RememberingStack if slices.memory else Stack
        self.stacks = [kind(source, axis, rendering, model, tiling) for axis in (self.axis, *others)]
        self.embedder = _StackEmbedder(self.stacks)
        self.level = level
        size, overlap = (
            (*sides[: self.axis], thin, *sides[self.axis :]) for sides, thin in zip(tiling, (1, 0), strict=True)
        )
        self.lattices = [Lattice(source.grid.coarsen(factors).shape, size, overlap) for factors in source.levels]
        self.arrived: Callable[[Arrival], None] = lambda _: None
        self.propagator: Propagator = recall if slices.memory else propagate

    def grow(
        self, prompt: Prompt, candidate: int | None = None, glimpse: Callable[[Candidates], None] = lambda _: None
    ) -> Grown:
        """The object that a prompt means; `glimpse` is called with what the first slice shows."""
        stack = self.stacks[0]
        shape = stack.source.grid.shape
        marks = marks_of(prompt, self.axis, shape)
        limits = self._reached(limits_of(prompt, self.axis, shape), marks)

        def first(candidates: Candidates) -> None:
            glimpse(self._in_volume(candidates, marks[0].index))

        level = stack.level_of(self.level or 0)
        found = self.propagator(stack, marks, Wish(limits, level, candidate, first, lambda some: self.arrived(some)))
        mask = stacked(shape, self.axis, found.sheets)
        tiles = found.tiles
        if len(self.stacks) > 1 and mask.count:
            others = [self._along(stack, mask, prompt) for stack in self.stacks[1:]]
            mask = voted([mask, *(other for other, _ in others)], stack.source.grid.spacing)
            tiles += sum(found.tiles for _, found in others)
        candidates = self._in_volume(found.candidates, found.start)
        return Grown(mask, found.score, tiles, found.open_edge, 0, candidates)

    def reaching(self, slices: Slices) -> SliceGrower:
        """The same with another reach; it shares what was looked at and answered."""
        other = copy(self)
        other.slices = slices
        return other

    def choose_level(self, prompt: Prompt) -> int:
        """Slices choose for themselves."""
        return 0

    def seeds(self, prompt: Prompt, level: int) -> Iterator[Index]:
        """The windows of the slices that have marks."""
        marks = marks_of(prompt, self.axis, self.stacks[0].source.grid.shape)
        yield from dict.fromkeys((said.index,) for said in marks)

    def _reached(self, limits: Limits, marks: Sequence[Marks]) -> Limits:
        """The slices that were asked for, as far as a box allows."""
        indices = [mark.index for mark in marks]
        first, last = self.slices.limits(min(indices), max(indices), self.stacks[0].length)
        return replace(limits, first=max(limits.first, first), last=min(limits.last, last))

    def _along(self, stack: Stack, mask: ObjectMask, prompt: Prompt) -> tuple[ObjectMask, Found]:
        """The object along another axis, from the slice in which most of it was found."""
        box = mask.window
        areas = {
            i: np.count_nonzero(section(mask, stack.axis, i)[1])
            for i in range(box.start[stack.axis], box.stop[stack.axis])
        }
        index = max(areas, key=lambda i: areas[i])
        shape = stack.source.grid.shape
        marks = self._drawn(index, *section(mask, stack.axis, index))
        found = self.propagator(stack, [marks], Wish(limits_of(prompt, stack.axis, shape)))
        return stacked(shape, stack.axis, found.sheets), found

    def _drawn(self, index: int, window: Window, samples: NDArray[np.bool_]) -> Marks:
        """What is known of a slice, as marks that the model takes."""
        masks = "mask" in self.stacks[0].model.card.abilities
        inside = interior_points(samples, 1) + np.asarray(window.start)
        box = np.stack([window.start, window.stop]) - 0.5
        return Marks(index, inside, np.ones(len(inside), bool), box, Raster(window, samples) if masks else None)

    def _in_volume(self, candidates: Candidates, index: int) -> Candidates:
        """Answers in a slice as answers in a window of the volume that is one sample thick, at full resolution."""
        plane = self.stacks[0].grower(index).embedder.source
        factors = plane.levels[candidates.level]
        start = tuple(a * f for a, f in zip(candidates.window.start, factors, strict=True))
        fine = Window(start, tuple(n * f for n, f in zip(candidates.window.shape, factors, strict=True)))
        inside = fine.clip(plane.grid.shape)
        logits = candidates.masks.logits.repeat(factors[0], axis=1).repeat(factors[1], axis=2)
        logits = np.expand_dims(logits[:, : inside.shape[0], : inside.shape[1]], 1 + self.axis)
        masks = Masks(logits, candidates.masks.scores)
        return Candidates(thick(inside, self.axis, index), 0, masks, candidates.taken)


class _StackEmbedder(Embedder):
    """Windows of a volume that are one sample thick, looked at by a model for images."""

    def __init__(self, stacks: Sequence[Stack]) -> None:
        self._stack = stacks[0]
        self.source, self.rendering, self.model = self._stack.source, self._stack.rendering, self._stack.model
        self.checkpoint = lambda: None
        for stack in stacks:
            stack.checkpoint = lambda: self.checkpoint()

    def prepare(self, window: Window, level: int) -> None:
        """Make the embedding of a window that is one sample thick."""
        place = self._place(window, level)
        if place is not None:
            embedder, flat, plane_level = place
            embedder.prepare(flat, plane_level)

    def known(self, window: Window, level: int) -> bool:
        place = self._place(window, level)
        return place is not None and place[0].known(*place[1:])

    def _place(self, window: Window, level: int) -> tuple[Embedder, Window, int] | None:
        """Who looks at a window, and where in its slice; None where slices have no such level."""
        stack = self._stack
        factors = self.source.levels[level]
        index = min(window.start[stack.axis] * factors[stack.axis], stack.length - 1)
        embedder = stack.grower(index).embedder
        flat = tuple(factors[a] for a in across(stack.axis))
        if flat not in embedder.source.levels:
            return None
        sides = across(stack.axis)
        inside = Window(tuple(window.start[a] for a in sides), tuple(window.shape[a] for a in sides))
        return embedder, inside, embedder.source.levels.index(flat)
