"""What the user said of one object, in index coordinates of level 0, and what a window sees of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from promptile.errors import PromptError
from promptile.grid import Window, rescale

LARGEST_ID = 2**32 - 1
"""Labels are unsigned 32-bit integers."""

_CERTAIN = np.float32(8.0)
"""Logit of what the user drew: far from the threshold, within what models give."""


class Region(Protocol):
    """A mask prompt: an area of any size that is rasterised window by window."""

    @property
    def box(self) -> NDArray[np.float64]:
        """``(2, ndim)``: its bounds, on sample edges of level 0."""
        ...

    def within(self, window: Window, factors: Sequence[int]) -> NDArray[np.bool_]:
        """``window.shape``: its samples in a window of the level with these factors."""
        ...

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class WindowPrompt:
    """What is known of one object inside one window, in the window's own index coordinates."""

    points: NDArray[np.float64]
    """``(n, ndim)``"""
    labels: NDArray[np.bool_]
    """``(n,)``: True for the object, False for not the object."""
    box: NDArray[np.float64] | None = None
    """``(2, ndim)``: low and high corner on sample edges (a box around samples 3..5 is 2.5 to 5.5).
    It may reach beyond the window."""
    mask: NDArray[np.float32] | None = None
    """``shape`` of the window: logits from an earlier answer or a neighbour; 0 where nothing is known."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """All that the user said about one object.

    Parameters
    ----------
    id : int
        The object's id in the result, 1 or more.
    points : ndarray of float, shape (n, ndim)
        Index coordinates of level 0.
    labels : ndarray of bool, shape (n,)
        True: the point is on the object; False: it is not.
    box : ndarray of float, shape (2, ndim), optional
        Low and high corner, on sample edges.
    region : Region, optional
        A mask prompt.
    category : str
        Carried to the result.
    name : str
        What the prompt file calls the object, where it gives a name instead of a number.
    """

    id: int
    points: NDArray[np.float64]
    labels: NDArray[np.bool_]
    box: NDArray[np.float64] | None = None
    region: Region | None = None
    category: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.id <= LARGEST_ID:
            raise PromptError(f"Object id {self.id} is not possible: ids are whole numbers from 1 to {LARGEST_ID}")
        if not self.labels.any() and self.box is None and self.region is None:
            raise PromptError(
                f"Object {self.id} has only negative points: add a positive point (label 1), a box or a polygon"
            )
        if self.box is not None and not (self.box[0] < self.box[1]).all():
            raise PromptError(
                f"The box of object {self.id} is empty: {self.box.tolist()}; needed are a low and a high corner that "
                "differ along each axis, n - 0.5 and n + 0.5 for a single sample"
            )
        if self.box is not None and not np.isfinite(self.box).all():
            raise PromptError(f"The box of object {self.id} has no end: {self.box.tolist()}; needed are finite corners")
        if not np.isfinite(self.points).all():
            raise PromptError(f"Object {self.id} has a point that is nowhere: {self.points.tolist()[:4]}")

    @property
    def ndims(self) -> set[int]:
        """How many coordinates its places have: one number, unless they contradict each other."""
        known = [self.points, self.box, None if self.region is None else self.region.box]
        return {places.shape[-1] for places in known if places is not None and len(places)}

    @property
    def extent(self) -> NDArray[np.float64]:
        """``(2, ndim)``: bounds of its box, region and positive points, in index coordinates."""
        corners = [self.points[self.labels]]
        corners += [self.box] if self.box is not None else []
        corners += [self.region.box] if self.region is not None else []
        known = np.concatenate(corners)
        return np.stack([known.min(axis=0), known.max(axis=0)])

    @property
    def kind(self) -> str:
        """What it is made of: ``points``, ``box``, ``mask`` or a sum of them like ``box+points``."""
        present = {"box": self.box is not None, "mask": self.region is not None, "points": len(self.points) > 0}
        return "+".join(name for name, there in present.items() if there)

    def within(self, window: Window, factors: Sequence[int]) -> WindowPrompt:
        """The prompt as seen from a window; points outside are left out.

        Parameters
        ----------
        window : Window
            Of a level, in its index coordinates.
        factors : sequence of int
            Of that level, along each axis: `Source.levels`.
        """
        start = np.asarray(window.start, float)
        points = rescale(self.points, factors).reshape(-1, window.ndim)
        inside = window.holds(points)
        mask = None
        if self.region is not None:
            mask = np.where(self.region.within(window, factors), _CERTAIN, -_CERTAIN)
        return WindowPrompt(
            points=points[inside] - start,
            labels=self.labels[inside],
            box=None if self.box is None else rescale(self.box, factors) - start,
            mask=mask,
        )

    def inside(self, image: Window) -> Prompt | None:
        """Itself if it lies on the image, without its points outside, or None if nothing remains."""
        there = image.holds(self.points.reshape(-1, image.ndim))
        frames = [f for f in (self.box, self.region.box if self.region else None) if f is not None]
        low, high = np.subtract(image.start, 0.5), np.subtract(image.stop, 0.5)
        touching = all(((frame[1] > low) & (frame[0] < high)).all() for frame in frames)
        relevant = there | ~self.labels  # a negative point elsewhere says nothing false
        if relevant.all() and touching:
            return self
        if not touching or not (frames or (there & self.labels).any()):
            return None
        return replace(self, points=self.points[there], labels=self.labels[there])

    def to_json(self) -> dict[str, Any]:
        """What a run keeps of it: places in index coordinates of level 0."""
        return {
            "id": self.id,
            "points": self.points.tolist(),
            "labels": self.labels.astype(int).tolist(),
            "box": None if self.box is None else self.box.tolist(),
            "region": None if self.region is None else self.region.to_json(),
            "category": self.category,
            "name": self.name,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Prompt:
        """The prompt that `to_json` gave, also after a way through a file."""
        from promptile.prompts.regions import region_from

        box = None if stored["box"] is None else np.asarray(stored["box"], float)
        region = None if stored["region"] is None else region_from(stored["region"])
        points = np.asarray(stored["points"], float)
        if not len(points):
            points = np.zeros((0, (region.box if box is None and region is not None else np.asarray(box)).shape[1]))
        return cls(
            id=stored["id"],
            points=points,
            labels=np.asarray(stored["labels"], bool),
            box=box,
            region=region,
            category=stored["category"],
            name=stored["name"],
        )
