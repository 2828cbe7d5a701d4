"""What a user says about an object in a volume, slice by slice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.prompts.regions import Raster
from promptile.prompts.types import Prompt, Region
from promptile.sources.plane import across, thick

_MARGIN = 1 / 16
"""How far an object may reach out of a box in a volume, as a part of the box's side; at least a sample."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What was said in one slice, in the slice's own index coordinates.

    Parameters
    ----------
    index : int
        Of the slice.
    points : ndarray of float, shape (n, 2)
    labels : ndarray of bool, shape (n,)
    box : ndarray of float, shape (2, 2), optional
        On sample edges.
    region : Raster, optional
    """

    index: int
    points: NDArray[np.float64]
    labels: NDArray[np.bool_]
    box: NDArray[np.float64] | None = None
    region: Raster | None = None

    @property
    def whole(self) -> bool:
        """Whether they say what all of the object is in this slice; clicks alone may correct what is known of it."""
        return self.box is not None or self.region is not None

    @property
    def denied(self) -> NDArray[np.float64]:
        """``(n, 2)``: where the object is not."""
        return self.points[~self.labels]

    def with_clicks(self, more: Marks) -> Marks:
        """The same, and what else was said by clicks in its slice."""
        return replace(
            self, points=np.concatenate([self.points, more.points]), labels=np.concatenate([self.labels, more.labels])
        )

    @cached_property
    def digest(self) -> bytes:
        """What tells them from other marks."""
        said = hashlib.sha256(self.points.tobytes() + self.labels.tobytes())
        if self.box is not None:
            said.update(self.box.tobytes())
        if self.region is not None:
            said.update(repr(self.region.window).encode() + np.packbits(self.region.mask).tobytes())
        return said.digest()


@dataclass(frozen=True)
class Limits:
    """Where an object may be.

    Parameters
    ----------
    first, last : int
        Slices, both included.
    window : Window
        In each of them.
    """

    first: int
    last: int
    window: Window


def marks_of(prompt: Prompt, axis: int, shape: tuple[int, ...]) -> list[Marks]:
    """What was said, in its order: boxes and regions, one per slice, and then the clicks, one by one.

    Of a box through several slices, the one in the middle gets it. Without box and region, the first slice gets all
    clicks with which it begins together, as an image would.
    """
    sides = list(across(axis))
    last = shape[axis] - 1
    points = prompt.points.reshape(-1, 3)
    slices = np.clip(np.floor(points[:, axis] + 0.5), 0, last).astype(int)
    boxes: dict[int, NDArray[np.float64]] = {}
    if prompt.box is not None:
        low, high = _covered(prompt.box, axis, last)
        boxes[(low + high) // 2] = prompt.box[:, sides]
    regions = {} if prompt.region is None else dict(_sections(prompt.region, axis, shape))

    def clicks(which: NDArray[np.int64]) -> Marks:
        return Marks(int(slices[which[0]]), points[which][:, sides], prompt.labels[which])

    none = np.empty((0, 2)), np.empty(0, bool)
    whole = [Marks(i, *none, boxes.get(i), regions.get(i)) for i in dict.fromkeys([*boxes, *regions])]
    order = np.arange(len(points))
    begun = order[:0] if whole else _begun(slices, prompt.labels)
    first = [clicks(begun)] if len(begun) else []
    return [*whole, *first, *(clicks(order[i : i + 1]) for i in order if i not in begun)]


def _begun(slices: NDArray[np.int64], labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which clicks an object begins with: the first on it, and those before and after it in the same slice."""
    first = int(np.argmax(labels))
    elsewhere = np.flatnonzero(slices != slices[first])
    before, after = elsewhere[elsewhere < first], elsewhere[elsewhere > first]
    return np.arange(before[-1] + 1 if len(before) else 0, after[0] if len(after) else len(slices))


def limits_of(prompt: Prompt, axis: int, shape: tuple[int, ...]) -> Limits:
    """A box through several slices limits the object, with a margin; nothing else does."""
    rows, columns = across(axis)
    everywhere = Limits(0, shape[axis] - 1, Window.of((shape[rows], shape[columns])))
    if prompt.box is None:
        return everywhere
    first, last = _covered(prompt.box, axis, shape[axis] - 1)
    if first == last:
        return everywhere
    margin = np.maximum(np.ceil((prompt.box[1] - prompt.box[0]) * _MARGIN), 1)
    low = np.ceil(prompt.box[0] - margin).astype(int)
    high = np.floor(prompt.box[1] + margin).astype(int) + 1
    window = Window.between((low[rows], low[columns]), (high[rows], high[columns]))
    return Limits(
        max(first - int(margin[axis]), 0),
        min(last + int(margin[axis]), shape[axis] - 1),
        window & everywhere.window,
    )


def _covered(box: NDArray[np.float64], axis: int, last: int) -> tuple[int, int]:
    """The first and last slice whose middle lies in a box; at least one."""
    low, high = int(np.ceil(box[0, axis])), int(np.floor(box[1, axis]))
    if low > high:
        low = high = int(np.floor(box[:, axis].mean() + 0.5))
    return int(np.clip(low, 0, last)), int(np.clip(high, 0, last))


def _sections(region: Region, axis: int, shape: tuple[int, ...]) -> Iterator[tuple[int, Raster]]:
    """The slices of a region that hold something of it."""
    low = np.floor(region.box[0] + 0.5).astype(int)
    around = Window.between(low, np.ceil(region.box[1] + 0.5).astype(int)).clip(shape)
    rows, columns = across(axis)
    flat = Window((around.start[rows], around.start[columns]), (around.shape[rows], around.shape[columns]))
    for index in range(around.start[axis], around.stop[axis]):
        inside = np.take(region.within(thick(flat, axis, index), (1, 1, 1)), 0, axis=axis)
        if inside.any():
            yield index, Raster(flat, inside)
