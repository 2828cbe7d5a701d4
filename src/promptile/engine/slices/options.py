"""How a model for images is asked about a volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from promptile.errors import UsageError
from promptile.grid import Grid

_ISOTROPIC = 1.5
"""Largest spacing over smallest up to which planes along all three axes look alike to a model."""

Reach = Literal["both", "forward", "backward"] | int


@dataclass(frozen=True)
class Slices:
    """Slice by slice: which way the slices lie, and how far an object is followed.

    Parameters
    ----------
    axis : int or "auto"
        The array axis that the slices are perpendicular to; ``auto`` is the one with the largest spacing, as slices
        show most of what is seen across it.
    planes : int
        1, or 3: along all axes, and what most of them say; for volumes with equal spacing only.
    reach : {"both", "forward", "backward"} or int
        Which way from the marks, or up to the slice of that index.
    memory : bool
        Whether objects are followed by the model's own memory of slices; for models that have one.
    """

    axis: int | Literal["auto"] = "auto"
    planes: int = 1
    reach: Reach = "both"
    memory: bool = False

    def of(self, grid: Grid) -> Slices:
        """The same with an axis of a volume instead of ``auto``.

        Raises
        ------
        UsageError
            If the volume has no such axis or slice, or is not asked for along three axes in vain.
        """
        if grid.ndim != 3:
            raise UsageError(f"Slices are of volumes, this image is {grid.ndim}D: leave axis, planes and memory out")
        if self.planes not in (1, 3):
            raise UsageError(f"{self.planes} planes are not possible: use 1, or 3 for all axes")
        if self.axis != "auto" and self.axis not in (0, 1, 2):
            raise UsageError(f"Axis {self.axis} does not exist: use auto, 0, 1 or 2")
        if self.planes == 3:
            self._check_all_axes(grid)
        axis = int(np.argmax(np.round(grid.spacing, 6))) if self.axis == "auto" else int(self.axis)
        if isinstance(self.reach, str):
            if self.reach not in ("both", "forward", "backward"):
                raise UsageError(f"Reach {self.reach!r} is unknown: use both, forward, backward or a slice's index")
        elif not 0 <= self.reach < grid.shape[axis]:
            raise UsageError(f"Slice {self.reach} does not exist: axis {axis} has 0 to {grid.shape[axis] - 1}")
        return replace(self, axis=axis)

    def _check_all_axes(self, grid: Grid) -> None:
        if max(grid.spacing) > _ISOTROPIC * min(grid.spacing):
            spacing = " × ".join(f"{s:.3g}" for s in grid.spacing)
            raise UsageError(
                f"Three planes need a volume with about equal spacing and this one has {spacing}: use --planes 1, or "
                "resample it first"
            )
        if self.axis != "auto" or self.reach != "both":
            raise UsageError("Three planes go along all axes both ways: leave axis and reach out")

    def limits(self, first: int, last: int, length: int) -> tuple[int, int]:
        """The first and last slice to look at, for marks in slices `first` to `last` of `length`."""
        if isinstance(self.reach, str):
            low = first if self.reach == "forward" else 0
            return low, last if self.reach == "backward" else length - 1
        return min(first, self.reach), max(last, self.reach)

    def to_json(self) -> dict[str, Any]:
        said = {"axis": self.axis, "planes": self.planes, "reach": self.reach}
        return said | ({"memory": True} if self.memory else {})

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Slices:
        """What `to_json` gave, also after a way through a file."""
        return cls(**stored)
