"""Work that brings the objects of a coarser level to the finest one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from promptile.engine.everything.scales import Choice, CoarseLabels, Shared
from promptile.engine.everything.stitching import open_labels, tally
from promptile.engine.everything.table import Known, Tally
from promptile.engine.job import Job
from promptile.engine.objects import Grower
from promptile.grid import Window, rescale
from promptile.masks import ObjectMask
from promptile.prompts.area import Area
from promptile.prompts.types import Prompt
from promptile.run.tiles import TileStore
from promptile.stitching import counted

TRUSTED = 0.6
"""A drawing at full resolution that has a smaller IoU with the coarse object is of something else."""


@dataclass(frozen=True)
class Compare:
    """Work: counts what coarse and fine objects share, block by block."""

    store: TileStore
    names: tuple[str, ...]
    coarse: CoarseLabels

    def read(self, window: Window) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        (image, *_) = open_labels(self.store, self.names)
        return np.asarray(image[window.slices], np.uint32), self.coarse.read(window)

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
        ends = [n * f for n, f in zip(self.labels.shape, self.labels.factors, strict=True)]
        fine = (np.arange(a, b) * f + (f - 1) // 2 for a, b, f in zip(window.start, window.stop, factors, strict=True))
        places = [np.minimum(axis, end - 1) for axis, end in zip(fine, ends, strict=True)]
        around = Window.between([p[0] for p in places], [p[-1] + 1 for p in places])
        samples = self.labels.read(around) == self.id
        inside: NDArray[np.bool_] = samples[np.ix_(*(p - p[0] for p in places))]
        return inside

    def to_json(self) -> dict[str, Any]:
        return {"level": self.labels.name, "id": self.id}


@dataclass(frozen=True, eq=False)
class Redraw:
    """Work: asks the model at full resolution along the boundary of coarse objects, and keeps their masks."""

    job: Job
    coarse: CoarseLabels

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @cached_property
    def _grower(self) -> Grower:
        return self.job.grower()

    def read(self, found: CoarseObject) -> CoarseObject:
        return found

    def compute(self, found: CoarseObject, _seen: CoarseObject) -> ObjectMask | None:
        nothing = np.empty((0, len(found.box[0])))
        mask = self._grower.grow(Prompt(found.id, nothing, np.empty(0, bool), region=found)).mask
        shared, coarse = 0, 0
        ones = (1,) * len(mask.shape)
        for part, samples in mask.blocks():
            shared += int(np.count_nonzero(samples & found.within(part, ones)))
        for part in _pieces(found.box, mask.shape):
            coarse += int(np.count_nonzero(found.within(part, ones)))
        return mask if shared > TRUSTED * (coarse + mask.count - shared) else None

    def write(self, found: CoarseObject, mask: ObjectMask | None) -> Window | None:
        """Where the mask lies; None if the coarse drawing is to be used."""
        if mask is None:
            return None
        packed = io.BytesIO()
        mask.save(packed)
        self.coarse.folder.write(mask_name(self.coarse, found.id), packed.getvalue())
        return mask.window


def mask_name(coarse: CoarseLabels, number: int) -> str:
    """Where the mask of a coarse object that was drawn again is kept."""
    return f"{coarse.name.rpartition('/')[0].removesuffix('/labels')}/masks/{number:06d}.npz"


def _pieces(box: NDArray[np.float64], shape: Sequence[int]) -> list[Window]:
    """Slabs of a box, so that large objects are read bit by bit."""
    low, high = np.ceil(box).astype(int)
    whole = Window.between(low, high).clip(shape)
    thick = max(1, 2**22 // max(whole.size // max(whole.shape[0], 1), 1))
    return [
        replace(whole, start=(first, *whole.start[1:]), shape=(min(thick, whole.stop[0] - first), *whole.shape[1:]))
        for first in range(whole.start[0], whole.stop[0], thick)
    ]


@dataclass(frozen=True, eq=False)
class Merge:
    """Work: adopts coarse objects into the label images of level 0, block by block.

    Coarse objects get the ids after those of the fine ones, in the order of `Choice.adopted`.
    """

    job: Job
    store: TileStore
    names: tuple[str, ...]
    coarse: CoarseLabels
    choice: Choice
    scores: NDArray[np.float32]
    """Of the adopted objects."""
    roots: NDArray[np.int64]
    """``(fine objects + 1,)``: coarse id of the adopted object that a fine one is in, whatever its layer, or 0."""
    redrawn: Mapping[int, Window]
    """Coarse ids of objects that have a mask of their own, and where it lies."""
    area: Area | None

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @cached_property
    def _labels(self) -> list[zarr.Array[Any]]:
        return open_labels(self.store, self.names)

    @cached_property
    def _mask(self) -> Any:
        def load(number: int) -> ObjectMask:
            return ObjectMask.load(io.BytesIO(self.coarse.folder.read(mask_name(self.coarse, number))))

        return lru_cache(maxsize=16)(load)

    @cached_property
    def _ids(self) -> NDArray[np.uint32]:
        """New ids by coarse ones."""
        ids = np.zeros(int(self.choice.adopted.max(initial=0)) + 1, np.uint32)
        ids[self.choice.adopted] = len(self.choice.absorbed) + np.arange(len(self.choice.adopted))
        return ids

    def read(self, window: Window) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]:
        wanted = self.job.source.valid(window, 0)
        if self.area is not None:
            wanted = wanted & self.area.within(window, self.store.factors)
        fine = np.stack([np.asarray(image[window.slices], np.uint32) for image in self._labels])
        return fine, self.coarse.read(window), wanted

    def compute(
        self, window: Window, seen: tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]
    ) -> tuple[NDArray[np.uint32], Tally]:
        fine, coarse, wanted = seen
        merged = self._moved(fine)
        for number, samples in self._adopted(window, coarse, fine[0]):
            merged[0][samples & wanted & (merged[0] == 0)] = self._ids[number]
        return merged, tally(counted(merged, window, self.store.shape), window, self.job.source.grid)

    def _moved(self, fine: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The fine objects that stay: those in adopted ones a layer further down, or nowhere."""
        merged = np.zeros_like(fine)
        for layer, ids in enumerate(fine):
            held = self.roots[ids] > 0
            merged[layer][~held] = ids[~held]
            if layer + 1 < len(fine):
                merged[layer + 1][held] = ids[held]
        return merged

    def _adopted(
        self, window: Window, coarse: NDArray[np.uint32], fine: NDArray[np.uint32]
    ) -> list[tuple[int, NDArray[np.bool_]]]:
        """Adopted objects in a block with their samples, the better score first."""
        owner = self.roots[fine]
        present = {*np.unique(coarse).tolist(), *np.unique(owner).tolist()}
        present |= {number for number, place in self.redrawn.items() if not (place & window).empty}
        scored = zip(self.choice.adopted.tolist(), self.scores.tolist(), strict=True)
        chosen = [(score, number) for number, score in scored if number in present]
        drawn = []
        for _, number in sorted(chosen, key=lambda each: (-each[0], each[1])):
            if number in self.redrawn:
                inside = self._mask(number).read(window)
            else:  # the parts in it show better than coarse samples where its border is
                inside = (coarse == number) | (owner == number)
            drawn.append((number, inside))
        return drawn

    def write(self, window: Window, answer: tuple[NDArray[np.uint32], Tally]) -> Tally:
        for image, layer in zip(self._labels, answer[0], strict=True):
            image[window.slices] = layer
        return answer[1]


def roots_of(known: Known, absorbed: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(n + 1,)``: which adopted object each fine one is in: what absorbs it, or the whole that it is a part of."""
    roots = absorbed.copy()
    above = np.concatenate([[0], known.parents]).astype(np.int64)
    for layer in range(1, int(known.layers.max(initial=0)) + 1):
        parts = np.flatnonzero(np.concatenate([[False], known.layers == layer]))
        roots[parts] = roots[above[parts]]
    return roots


def merged_objects(fine: Known, coarse: Known, choice: Choice, roots: NDArray[np.int64], layers: int) -> Known:
    """What is known of the fine objects, followed by the adopted ones."""
    held = roots[1:] > 0
    ids = np.zeros(len(coarse) + 1, np.uint32)
    ids[choice.adopted] = len(fine) + 1 + np.arange(len(choice.adopted))
    parents = np.where(choice.absorbed[1:] > 0, ids[choice.absorbed[1:]], fine.parents)
    moved = replace(
        fine,
        layers=np.minimum(fine.layers + held, layers - 1).astype(np.uint8),
        parents=parents.astype(np.uint32),
    )
    adopted = coarse.take(choice.adopted - 1)
    return moved.followed_by(replace(adopted, parents=np.zeros(len(adopted), np.uint32)))


def objects_to_redraw(coarse: CoarseLabels, boxes: NDArray[np.int64], adopted: NDArray[np.int64]) -> list[CoarseObject]:
    """The adopted objects as mask prompts; `boxes`: ``(coarse objects, 2, ndim)``, first sample and after the last."""
    return [
        CoarseObject(coarse, int(n), rescale_back(boxes[n - 1].astype(float) - 0.5, coarse.factors)) for n in adopted
    ]


def rescale_back(points: NDArray[np.float64], factors: Sequence[int]) -> NDArray[np.float64]:
    """Index coordinates of a coarse level as those of level 0."""
    return rescale(points, [1 / f for f in factors])
