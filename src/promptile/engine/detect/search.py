"""A search: an image, a detector, and how the one looks at the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile import models
from promptile.engine.detect.options import Text
from promptile.engine.lattice import Tiling
from promptile.engine.slices import Slices
from promptile.engine.views import look
from promptile.errors import ModelError, UsageError
from promptile.folders import Folder
from promptile.grid import Window
from promptile.models.protocols import Detector, Model, Reading, View
from promptile.prompts.area import Area
from promptile.rendering import Rendering
from promptile.run.detections import DetectionStore
from promptile.sources.protocol import Source

_SHARE = 4
"""Neighbouring windows share one part in so many: what is larger than that is whole at the next coarser level."""


@dataclass(frozen=True, eq=False)
class Search:
    """What is looked for in an image, with what and where; `prepare` checks that it fits.

    Can be pickled if image and detector can.

    Parameters
    ----------
    source : Source
    detector : Detector
    rendering : Rendering
        Of the image for the detector.
    asked : Text
    size, overlap : tuple of int
        Of the detector's windows, per axis of the image; 1 and 0 along `axis`.
    levels : tuple of int
        Where it looks, the finest first.
    axis : int, optional
        Along which a volume is cut into slices; None for images.
    areas : tuple of Area
        An object's box must have its centre in all of them.
    """

    source: Source
    detector: Detector
    rendering: Rendering
    asked: Text
    size: tuple[int, ...]
    overlap: tuple[int, ...]
    levels: tuple[int, ...]
    axis: int | None
    areas: tuple[Area, ...]

    @classmethod
    def prepare(
        cls,
        source: Source,
        detector: str | Model,
        asked: Text,
        *,
        channels: Sequence[int] | None = None,
        window: str | tuple[float, float] = "auto",
        slices: Slices | None = None,
        areas: Sequence[Area] = (),
    ) -> Search:
        """Load the detector and see how it is to look; see `promptile.segment` for what the arguments mean."""
        found = _detector(detector)
        if isinstance(found, Reading):
            found.read(asked.phrases)
        rendering = Rendering.of(source, channels=channels, window=window, limit=found.card.channels)
        along = Slices() if slices is None else Slices(slices.axis)  # a detector looks along one axis, whatever follows
        axis = None if source.grid.ndim == 2 else int(along.of(source.grid).axis)
        size, overlap = (asked.tiling or Tiling()).resolve(2, found.card.window, share=_SHARE)
        if axis is not None:
            size, overlap = (_insert(size, axis, 1), _insert(overlap, axis, 0))
        everywhere = tuple(area for area in (asked.area, *areas) if area is not None)
        levels = _levels(source, asked, size, axis)
        return cls(source, found, rendering, asked, size, overlap, levels, axis, everywhere)

    @property
    def spec(self) -> dict[str, Any]:
        """What decides what is found, beside the image; JSON-able."""
        card = self.detector.card
        return {
            "phrases": list(self.asked.phrases),
            "detector": {"name": card.name, "digest": card.digest},
            "rendering": self.rendering.to_json(),
            "levels": [[level, self.source.levels[level]] for level in self.levels],
            "tiling": {"size": self.size, "overlap": self.overlap},
            "axis": self.axis,
            "areas": [area.digest for area in self.areas],
        }

    def stores(self, folder: Folder) -> list[DetectionStore]:
        """Where the answers of each level are kept, the finest level first."""
        grid = self.source.grid
        return [
            DetectionStore(folder, level, factors, grid.coarsen(factors).shape, self.size, self.overlap)
            for level, factors in ((level, self.source.levels[level]) for level in self.levels)
        ]

    def view(self, window: Window, level: int) -> View:
        """What the detector sees of a window of a level: an image, also of a volume."""
        view = look(self.source, self.rendering, self.detector.card, window, level)
        if self.axis is None:
            return view
        spacing = tuple(s for axis, s in enumerate(view.spacing) if axis != self.axis)
        return View(np.take(view.samples, 0, self.axis + 1), np.take(view.valid, 0, self.axis), spacing)

    def wanted(self, window: Window, level: int) -> NDArray[np.bool_] | None:
        """``window.shape``: where objects are wanted; None for everywhere."""
        inside = None
        for area in self.areas:
            here = area.within(window, self.source.levels[level])
            inside = here if inside is None else inside & here
        return inside


def _detector(detector: str | Model) -> Detector:
    found = models.load(detector, 2) if isinstance(detector, str) else detector
    if not isinstance(found, Detector):
        name = getattr(getattr(found, "card", None), "name", found)
        raise ModelError(f"Model {name!r} finds nothing by text: choose another --detector; see promptile models")
    if found.card.ndim != 2:
        raise ModelError(f"Detector {found.card.name!r} takes {found.card.ndim}D images: one for images is needed")
    return found


def _levels(source: Source, asked: Text, size: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """The levels to look at, the finest first; in volumes only such as keep all slices."""
    flat = [n for n, factors in enumerate(source.levels) if axis is None or factors[axis] == 1]
    if asked.levels != "auto":
        wanted = sorted(set(asked.levels))
        if unknown := [level for level in wanted if level not in flat]:
            there = ", ".join(map(str, flat))
            raise UsageError(f"Level {unknown[0]} cannot be looked at: use auto or levels among {there}")
        if not wanted:
            raise UsageError("There are no levels to look at: use levels='auto', or some of them")
        return tuple(wanted)
    chosen = []
    for level in flat:
        chosen.append(level)
        shape = source.grid.coarsen(source.levels[level]).shape
        if all(n <= s for a, (n, s) in enumerate(zip(shape, size, strict=True)) if a != axis):
            break
    return tuple(chosen)


def _insert(values: Sequence[int], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis:])
