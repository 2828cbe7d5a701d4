"""What the user said in all: one `Prompt` per object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promptile.counts import counted
from promptile.errors import PromptError
from promptile.grid import Window
from promptile.prompts.arrays import check_arrays, given_owners, known_labels, numbers, own_objects
from promptile.prompts.types import Prompt


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
        kept = [prompt.inside(image) for prompt in self.objects]
        outside = [p.id for p, k in zip(self.objects, kept, strict=True) if k is not p]
        if outside and not skip_outside:
            what = "their CRS and the order of x and y" if image.ndim == 2 else "that they are this image's, in LPS mm"
            raise PromptError(
                f"Prompts of {len(outside)} of {counted(len(self), 'object')} lie outside the image: {_some(outside)}; "
                f"check {what}, or leave them out with --skip-outside"
            )
        return replace(self, objects=tuple(k for k in kept if k is not None))

    def to_json(self) -> list[dict[str, Any]]:
        """What a run keeps of them, one by one."""
        return [prompt.to_json() for prompt in self.objects]


def _some(ids: Sequence[int], most: int = 8) -> str:
    """The first few of a list of ids, and how many more there are."""
    shown = ", ".join(map(str, ids[:most]))
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most} more"
