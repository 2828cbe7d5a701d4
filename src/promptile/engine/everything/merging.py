"""Work that brings the objects of a coarser level to the finest one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.engine.everything.scales import Choice, CoarseLabels, Shared
from promptile.engine.everything.stitching import tally
from promptile.engine.everything.table import Tally
from promptile.engine.job import Job
from promptile.engine.objects import Grower
from promptile.folders import Folder
from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.prompts.area import Area
from promptile.prompts.types import Prompt
from promptile.run.images import LabelImages
from promptile.stitching import counted

TRUSTED = 0.6
"""A drawing at full resolution that has a smaller IoU with the coarse object is of something else."""

_SLAB = 2**22
"""Samples that are compared at a time."""


@dataclass(frozen=True)
class Compare:
    """Work: counts what coarse and fine objects share, block by block."""

    fine: LabelImages
    coarse: CoarseLabels

    def read(self, window: Window) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        return self.fine.read(window)[0], self.coarse.read(window)

    def compute(self, _window: Window, seen: tuple[NDArray[np.uint32], NDArray[np.uint32]]) -> Shared:
        return Shared.of(*seen)

    def write(self, _window: Window, shared: Shared) -> Shared:
        return shared


@dataclass(frozen=True, eq=False)
class CoarseObject:
    """A mask prompt: one object of a coarser level, read from its label image by window."""

    labels: CoarseLabels
    id: int
    box: NDArray[np.float64]
    """``(2, ndim)``: its bounds, on sample edges of level 0."""

    def within(self, window: Window, factors: Sequence[int]) -> NDArray[np.bool_]:
        """Its samples in a window of the level with these factors."""
        inside: NDArray[np.bool_] = self.labels.read(window, factors) == self.id
        return inside

    def to_json(self) -> dict[str, Any]:
        return {"object": self.id, "labels": self.labels.images.names[0]}


@dataclass(frozen=True)
class Wanted:
    """Where objects may be: there is data, and the area of interest."""

    job: Job
    area: Area | None

    def within(self, window: Window) -> NDArray[np.bool_]:
        """``window.shape``, at level 0."""
        valid = self.job.source.valid(window, 0)
        return valid if self.area is None else valid & self.area.within(window, (1,) * window.ndim)


@dataclass(frozen=True, eq=False)
class Redraw:
    """Work: asks the model at full resolution along the boundary of coarse objects, and keeps their masks."""

    wanted: Wanted
    folder: Folder

    def __getstate__(self) -> dict[str, Any]:
        return {"wanted": self.wanted, "folder": self.folder}

    @cached_property
    def _grower(self) -> Grower:
        return self.wanted.job.grower()

    def read(self, found: CoarseObject) -> CoarseObject:
        return found

    def compute(self, found: CoarseObject, _seen: CoarseObject) -> ObjectMask | None:
        nothing = np.empty((0, len(found.box[0])))
        mask = self._grower.grow(Prompt(found.id, nothing, np.empty(0, bool), region=found)).mask
        shared = either = 0
        low, high = np.rint(found.box + 0.5).astype(int)
        for part in _slabs((Window.between(low, high) | mask.window).clip(mask.shape)):
            wanted = self.wanted.within(part)
            coarse, drawn = found.within(part, (1,) * part.ndim) & wanted, mask.read(part) & wanted
            shared += int(np.count_nonzero(coarse & drawn))
            either += int(np.count_nonzero(coarse | drawn))
        return mask if shared > TRUSTED * either else None

    def write(self, found: CoarseObject, mask: ObjectMask | None) -> Window | None:
        """Where the mask lies; None if the coarse drawing is to be used."""
        if mask is None:
            return None
        packed = io.BytesIO()
        mask.save(packed)
        self.folder.write(_mask_name(found.labels, found.id), packed.getvalue())
        return mask.window


def _mask_name(coarse: CoarseLabels, number: int) -> str:
    """Where the mask of a coarse object that was drawn again is kept."""
    return f"{coarse.images.names[0].rsplit('/', 2)[0]}/masks/{number:06d}.npz"


def _slabs(window: Window) -> Iterator[Window]:
    """A window cut along its first axis, so that large objects are read bit by bit."""
    thick = max(1, _SLAB * window.shape[0] // max(window.size, 1))
    for first in range(window.start[0], window.stop[0], thick):
        rows = Window((first, *window.start[1:]), (min(thick, window.stop[0] - first), *window.shape[1:]))
        yield rows


@dataclass(frozen=True, eq=False)
class Merge:
    """Work: adopts coarse objects among the fine ones, block by block, into other label images.

    Coarse objects get the ids after those of the fine ones, in the order of `Choice.adopted`.
    """

    wanted: Wanted
    source: LabelImages
    target: LabelImages
    coarse: CoarseLabels
    choice: Choice
    scores: NDArray[np.float32]
    """Of the adopted objects."""
    roots: NDArray[np.int64]
    """``(fine objects + 1,)``: coarse id of the adopted object that a fine one is in, whatever its layer, or 0."""
    redrawn: Mapping[int, Window]
    """Coarse ids of objects that have a mask of their own, and where it lies."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}  # not what was opened

    @cached_property
    def _mask(self) -> Callable[[int], ObjectMask]:
        def load(number: int) -> ObjectMask:
            return ObjectMask.load(io.BytesIO(self.source.folder.read(_mask_name(self.coarse, number))))

        return lru_cache(maxsize=4)(load)

    def read(self, window: Window) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]:
        return self.source.read(window), self.coarse.read(window), self.wanted.within(window)

    def compute(
        self, window: Window, seen: tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]
    ) -> tuple[NDArray[np.uint32], Tally]:
        fine, coarse, wanted = seen
        merged = self._moved(fine)
        new = self.choice.ids
        for number, samples in self._adopted(window, coarse, fine[0]):
            merged[0][samples & wanted & (merged[0] == 0)] = new[number]
        grid = self.wanted.job.source.grid
        return merged, tally(counted(merged, window, grid.shape), window, grid)

    def _moved(self, fine: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The fine objects that stay: those in adopted ones a layer further down, or nowhere."""
        merged = np.zeros_like(fine)
        for layer, ids in enumerate(fine):
            held = self.roots[ids] > 0
            stays = (ids > 0) & ~held
            merged[layer][stays] = ids[stays]
            if layer + 1 < len(fine):
                merged[layer + 1][held] = ids[held]
        return merged

    def _adopted(
        self, window: Window, coarse: NDArray[np.uint32], fine: NDArray[np.uint32]
    ) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Adopted objects in a block with their samples, the better score first."""
        owner = self.roots[fine]
        present = {*np.unique(coarse).tolist(), *np.unique(owner).tolist()}
        present |= {number for number, place in self.redrawn.items() if not (place & window).empty}
        scored = zip(self.choice.adopted.tolist(), self.scores.tolist(), strict=True)
        chosen = [(score, number) for number, score in scored if number in present]
        for _, number in sorted(chosen, key=lambda each: (-each[0], each[1])):
            if number in self.redrawn:
                yield number, self._mask(number).read(window)
            else:  # the parts in it show better than coarse samples where its border is
                yield number, (coarse == number) | (owner == number)

    def write(self, window: Window, answer: tuple[NDArray[np.uint32], Tally]) -> Tally:
        self.target.write(window, answer[0])
        return answer[1]
