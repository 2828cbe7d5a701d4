"""What is done to objects when they are written as samples: holes filled, islands removed, overlaps decided."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promptile.errors import UsageError
from promptile.grid import LPS, Grid, Window
from promptile.masks import ObjectMask
from promptile.measures import measured_columns
from promptile.writers.pieces import without_holes, without_islands
from promptile.writers.protocol import Result

OnOverlap = Literal["score", "first", "last"]

_MASKS = 64
"""Masks that are kept, cleaned, for the next window."""


@dataclass(frozen=True)
class Cleaning:
    """How samples may differ from the run; the default changes nothing.

    Parameters
    ----------
    on_overlap : str
        Which object a label image shows where several are: the one with the better ``score``, the ``first`` or the
        ``last`` by id.
    fill_holes : float
        Holes up to this volume are filled, in mm³ (samples, in volumes without millimetres). A hole is background
        that hangs together by faces and is enclosed by the object.
    remove_islands : float
        Pieces of an object below this volume are removed; an object may vanish.
    """

    on_overlap: OnOverlap = "score"
    fill_holes: float = 0.0
    remove_islands: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("fill-holes", self.fill_holes), ("remove-islands", self.remove_islands)):
            if not (value >= 0 and math.isfinite(value)):
                raise UsageError(f"--{name} is {value}: give a number that is not negative")

    def on(self, result: Result) -> Result:
        """The result as it is to be written."""
        return result if self == Cleaning() else Cleaned(result, self)


class Cleaned:
    """A result whose masks are cleaned when they are read; implements `promptile.writers.Result`."""

    def __init__(self, result: Result, cleaning: Cleaning) -> None:
        self._result = result
        self._cleaning = cleaning
        self.mask = lru_cache(maxsize=_MASKS)(self._mask)
        """The cleaned mask of an object, by id."""

    @property
    def grid(self) -> Grid:
        return self._result.grid

    @property
    def objects(self) -> pd.DataFrame:
        """Without what was measured: that was true of the samples before."""
        objects = self._result.objects
        return objects.drop(columns=measured_columns(objects)) if self._changes else objects

    @property
    def _changes(self) -> bool:
        return bool(self._cleaning.fill_holes or self._cleaning.remove_islands)

    @property
    def origin(self) -> Mapping[str, Any]:
        return self._result.origin

    @property
    def image(self) -> Mapping[str, Any]:
        """Where the image is, as the result knows it."""
        return getattr(self._result, "image", {})

    @property
    def layers(self) -> int:
        """Filled holes may cover other objects."""
        return 0

    def read_labels(self, window: Window, layer: int = 0) -> NDArray[np.uint32]:
        painted = np.zeros(window.shape, np.uint32)
        for number in self._lowest_first:
            shared = self._boxes[number] & window
            if not shared.empty:
                painted[shared.within(window).slices][self.mask(number).read(shared)] = number
        return painted

    @cached_property
    def _boxes(self) -> dict[int, Window]:
        """Bounding boxes before cleaning, which does not reach beyond them."""
        rows = zip(self.objects["id"], self.objects["bbox"], strict=True)
        boxes = {int(number): np.reshape(box, (2, -1)).astype(int).tolist() for number, box in rows if len(box)}
        return {number: Window.between(*box) for number, box in boxes.items()}

    @cached_property
    def _lowest_first(self) -> list[int]:
        """Ids in the order in which they are painted: what is shown comes last."""
        objects = self.objects
        if self._cleaning.on_overlap == "score" and "score" in objects:
            order = np.lexsort((-objects["id"].to_numpy(), objects["score"].to_numpy(float)))
            ids = objects["id"].to_numpy()[order].tolist()
        else:
            ids = sorted(objects["id"].tolist(), reverse=self._cleaning.on_overlap == "first")
        return [int(number) for number in ids if int(number) in self._boxes]

    def _mask(self, object_id: int) -> ObjectMask:
        mask = self._result.mask(object_id)
        size = self.grid.sample_size if self.grid.space == LPS else 1.0
        if self._cleaning.remove_islands:
            mask = without_islands(mask, self._cleaning.remove_islands / size)
        if self._cleaning.fill_holes:
            mask = without_holes(mask, self._cleaning.fill_holes / size)
        return mask
