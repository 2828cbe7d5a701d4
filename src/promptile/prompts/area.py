"""An area of interest: where objects are wanted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from promptile.errors import PromptError
from promptile.grid import Grid, Window, rescale
from promptile.prompts.prompts import Prompts
from promptile.prompts.reading import read_prompts
from promptile.prompts.types import Prompt


@dataclass(frozen=True, eq=False)
class Area:
    """The union of boxes and polygons; `Area.read` makes one.

    Parameters
    ----------
    parts : Prompts
        Boxes and regions, in index coordinates of level 0.
    """

    parts: Prompts

    @classmethod
    def read(cls, path: str | os.PathLike[str], grid: Grid) -> Area:
        """The boxes and polygons of a prompt file, in any coordinate reference system.

        Parameters
        ----------
        path : path
            In a format of `Prompts.read`.
        grid : Grid
            Of the image, ``image.grid``.

        Raises
        ------
        PromptError
            If there is something else in it, or nothing of it lies on the image.
        """
        parts = read_prompts(path, grid)
        name = os.path.basename(path)
        for part in parts:
            if len(part.points):
                raise PromptError(f"{name}: an area is made of polygons or boxes, and it has points: leave them out")
        area = cls(parts)
        if all((_bounds(part) & grid.window).empty for part in parts):
            raise PromptError(f"{name}: the whole area lies outside the image: check its coordinates")
        return area

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its shapes: tells it from another area."""
        return hashlib.sha256(json.dumps(self.parts.to_json()).encode()).hexdigest()

    def within(self, window: Window, factors: Sequence[int]) -> NDArray[np.bool_]:
        """Samples whose centre lies in the area.

        Parameters
        ----------
        window : Window
            Of a level, in its index coordinates.
        factors : sequence of int
            Of that level, along each axis: `Source.levels`.

        Returns
        -------
        ndarray of bool, shape window.shape
        """
        inside = np.zeros(window.shape, bool)
        fine = Window(
            tuple(a * f for a, f in zip(window.start, factors, strict=True)),
            tuple(n * f for n, f in zip(window.shape, factors, strict=True)),
        )
        for part, bounds in self._bounds:
            if (bounds & fine).empty:
                continue
            if part.region is not None:
                inside |= part.region.within(window, factors)
            if part.box is not None:
                low, high = np.ceil(rescale(part.box, factors)).astype(int)
                inside[(Window.between(low, high) & window).within(window).slices] = True
        return inside

    @cached_property
    def _bounds(self) -> list[tuple[Prompt, Window]]:
        return [(part, _bounds(part)) for part in self.parts]


def _bounds(part: Prompt) -> Window:
    low, high = part.extent
    return Window.between(np.floor(low + 0.5).astype(int).tolist(), np.ceil(high + 0.5).astype(int).tolist())
