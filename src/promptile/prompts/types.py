"""What the user said: one `Prompt` per object, in index coordinates of level 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promptile.errors import PromptError
from promptile.grid import Window, rescale
from promptile.prompts.arrays import check_arrays, given_owners, known_labels, numbers, own_objects

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
            raise PromptError(f"The box of object {self.id} is empty: {self.box.tolist()}")
        if self.box is not None and not np.isfinite(self.box).all():
            raise PromptError(f"The box of object {self.id} has no end: {self.box.tolist()}")
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


@dataclass(frozen=True, eq=False)
class Prompts:
    """The prompts of one run, in index coordinates of level 0; `Prompts.of` and `Prompts.read` make them.

    Parameters
    ----------
    objects : tuple of Prompt
        Each with an id of its own.
    denied : ndarray of float, shape (n, ndim), optional
        Where there is no object, if nothing else is said; it takes away what is found by text.
    """

    objects: tuple[Prompt, ...]
    denied: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))

    def __post_init__(self) -> None:
        uses = Counter(prompt.id for prompt in self.objects)
        twice = sorted(i for i, n in uses.items() if n > 1)
        if twice:
            raise PromptError(f"Object ids {_some(twice)} occur twice: give each object an id of its own")

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.objects)

    def __len__(self) -> int:
        return len(self.objects)

    @classmethod
    def of(
        cls,
        *,
        points: ArrayLike = (),
        labels: ArrayLike | None = None,
        objects: ArrayLike | None = None,
        boxes: ArrayLike = (),
    ) -> Prompts:
        """Prompts from arrays in index coordinates of level 0.

        Parameters
        ----------
        points : array-like, shape (n, ndim)
        labels : array-like of 0 or 1, shape (n,), optional
            1 on the object, 0 not on it; default all 1.
        objects : array-like of int, shape (n,), optional
            To which object each point belongs, 0 for a negative point that counts for all. Without it each
            positive point is an object, and negative points count for all.
        boxes : array-like, shape (m, 2, ndim)
            Low and high corner of each box, on sample edges. With `objects`, box ``i`` belongs to object ``i + 1``.
        """
        frames, xs = numbers("Boxes", boxes), numbers("Points", points)
        known = np.ones(len(xs), bool) if labels is None else known_labels(labels)
        owners = own_objects(known, len(frames)) if objects is None else given_owners(objects)
        check_arrays(xs, known, owners, frames)
        ndim = xs.shape[1] if xs.size else frames.shape[-1]
        ids = sorted({*owners[owners > 0].tolist(), *range(1, len(frames) + 1)})
        order = np.argsort(owners, kind="stable")
        first, last = (np.searchsorted(owners[order], ids, side) for side in ("left", "right"))
        everyone = np.flatnonzero(owners == 0)
        made = []
        for i, a, b in zip(ids, first, last, strict=True):
            mine = np.concatenate([order[a:b], everyone])
            box = np.sort(frames[i - 1], axis=0) if i <= len(frames) else None
            made.append(Prompt(i, xs[mine].reshape(-1, ndim), known[mine], box))
        return cls(tuple(made))

    @classmethod
    def read(cls, path: Any, grid: Any, **options: Any) -> Prompts:
        """Prompts from a file: GeoJSON, GeoPackage and kin, CSV, 3D Slicer's ``.mrk.json``, DICOM structures.

        Parameters
        ----------
        path : path
        grid : Grid
            Of the image, ``image.grid``: the file's coordinates become indices of its level 0.
        **options
            ``kind``, ``layer``: see `promptile.prompts.reading.read_prompts`.

        Raises
        ------
        PromptError
            With the file's name, the place in it, what was got and what is needed.
        """
        from promptile.prompts.reading import read_prompts

        return read_prompts(path, grid, **options)

    def write(self, path: Any, grid: Any) -> None:
        """Write the prompts to a file; reading it gives the same ones.

        Parameters
        ----------
        path : path
            ``.geojson``, ``.gpkg``, ``.csv`` or ``.mrk.json``; a file that is there is replaced.
        grid : Grid
            Of the image, ``image.grid``.

        Raises
        ------
        OutputError
            If the format cannot hold these prompts.
        """
        from promptile.prompts.writing import write_prompts

        write_prompts(self, path, grid)

    def inside(self, shape: Sequence[int], *, skip_outside: bool = False) -> Prompts:
        """These prompts, checked against an image.

        Parameters
        ----------
        shape : sequence of int
            Of the image, ``(y, x)`` or ``(z, y, x)``.
        skip_outside : bool
            Leave points and objects outside of it out instead of refusing them.

        Raises
        ------
        PromptError
            If an object has coordinates for another number of axes; or a point outside the image, or a box or region
            that does not touch it, without `skip_outside`.
        """
        image = Window.of(shape)
        for prompt in self.objects:
            if prompt.ndims != {image.ndim}:
                raise PromptError(
                    f"The prompt of object {prompt.id} has {' and '.join(map(str, sorted(prompt.ndims)))} coordinates, "
                    f"the image has the axes {'zyx'[-image.ndim :]}: give one each (and open an array of several "
                    "channels with channel_axis)"
                )
        kept = [_keep_inside(prompt, image) for prompt in self.objects]
        outside = [p.id for p, k in zip(self.objects, kept, strict=True) if k is not p]
        if outside and not skip_outside:
            what = "their CRS and the order of x and y" if image.ndim == 2 else "that they are this image's, in LPS mm"
            raise PromptError(
                f"{len(outside)} of {len(self)} objects have prompts outside the image: {_some(outside)}; "
                f"check {what}, or leave them out with --skip-outside"
            )
        return replace(self, objects=tuple(k for k in kept if k is not None))

    def to_json(self) -> list[dict[str, Any]]:
        """What a run keeps of them, one by one."""
        return [prompt.to_json() for prompt in self.objects]


def _keep_inside(prompt: Prompt, image: Window) -> Prompt | None:
    """`prompt` itself if it lies on the image, without its points outside, or None if nothing remains."""
    inside = image.holds(prompt.points.reshape(-1, image.ndim))
    frames = [f for f in (prompt.box, prompt.region.box if prompt.region else None) if f is not None]
    low, high = np.subtract(image.start, 0.5), np.subtract(image.stop, 0.5)
    touching = all(((frame[1] > low) & (frame[0] < high)).all() for frame in frames)
    relevant = inside | ~prompt.labels  # a negative point elsewhere says nothing false
    if relevant.all() and touching:
        return prompt
    if not touching or not (frames or (inside & prompt.labels).any()):
        return None
    return replace(prompt, points=prompt.points[inside], labels=prompt.labels[inside])


def _some(ids: Sequence[int], most: int = 8) -> str:
    """The first few of a list of ids, and how many more there are."""
    shown = ", ".join(map(str, ids[:most]))
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most} more"
