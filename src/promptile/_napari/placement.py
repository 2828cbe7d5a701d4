"""Where napari shows a grid.

napari's first axis runs down the screen. Its world is, in the grid's own units::

    raster with a CRS     (-(y - y0), x - x0)     north is up
    volume in LPS mm      (z, y, x)               anterior is up, the patient's left is on the right
    no georeference       ([z,] y, x)             samples

``(x0, y0)`` is the first raster's first sample: napari draws in single precision, in which map coordinates of
millions of metres end at half a metre. Rasters of one CRS in one viewer share it, so they lie on each other as on
the ground.

Rasters are shown rotated if they are. Volumes are not: napari cuts them along their own axes only. An oblique
volume is shown straightened, each of its axes along the patient axis nearest to it, and its centre where it is.
The grid itself is in the layer's metadata, and everything is computed from that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from scipy.optimize import linear_sum_assignment

from promptile.grid import LPS, PIXELS, Grid

KEY = "promptile"
"""Under this name, a layer's metadata says what Promptile knows of it."""

OPTIONS = ("time", "series", "resample")
"""What it may say of how the image was opened, besides its path."""

_STRAIGHT = 0.05
"""Share of a sample by which a volume's axes may drift over its length and still count as straight."""

_UNITS = {"metre": "m", "degree": "degree", "foot": "foot", "US survey foot": "survey_foot"}


@dataclass(frozen=True)
class Placement:
    """Where one grid is shown.

    Parameters
    ----------
    grid : Grid
    origin : tuple of float
        The world coordinates ``(x, y[, z])`` that are 0 in napari.
    """

    grid: Grid
    origin: tuple[float, ...]

    @classmethod
    def among(cls, layers: Iterable[Any], grid: Grid) -> Placement:
        """The placement of a grid that matches the layers that are there already."""
        if not is_map(grid.space):
            return cls(grid, (0.0,) * grid.ndim)
        for layer in layers:
            known = layer.metadata.get(KEY)
            if known and known["grid"]["space"] == grid.space:
                return cls(grid, tuple(known["origin"]))
        return cls(grid, tuple(map(float, grid.to_world((0,) * grid.ndim))))

    @property
    def attributes(self) -> dict[str, Any]:
        """What places a layer in napari: the same for image, labels, points and shapes on this grid."""
        common = {"units": (_unit(self.grid.space),) * self.grid.ndim, "axis_labels": self._axis_labels}
        linear = self._matrix[:-1, :-1]
        if self.grid.ndim > 2:
            return {**common, "scale": self._straight[0], "translate": self._straight[1]}
        if np.count_nonzero(linear - np.diag(np.diag(linear))):
            return {**common, "affine": self._matrix}
        return {**common, "scale": np.diag(linear), "translate": self._matrix[:-1, -1]}

    @property
    def straightened(self) -> bool:
        """Whether the image is shown without a rotation that it has."""
        if self.grid.ndim == 2:
            return False
        scale, _ = self._straight
        shown = np.zeros((3, 3))
        shown[self._axes, range(3)] = scale
        drift = np.abs(self._matrix[:-1, :-1] - shown) * np.subtract(self.grid.shape, 1)
        return bool((drift > _STRAIGHT * np.min(self.grid.spacing)).any())

    def to_json(self) -> dict[str, Any]:
        grid = {"shape": list(self.grid.shape), "affine": self.grid.matrix.tolist(), "space": self.grid.space}
        return {"grid": grid, "origin": list(self.origin), "straightened": self.straightened}

    @cached_property
    def _matrix(self) -> NDArray[np.float64]:
        """From homogeneous index to napari's homogeneous world, both in array order."""
        matrix = self.grid.matrix.copy()
        matrix[:-1, -1] -= self.origin
        matrix[:-1] = matrix[-2::-1]
        if is_map(self.grid.space):
            matrix[-3] *= -1
        return matrix + 0.0  # no -0.0

    @cached_property
    def _axes(self) -> NDArray[np.intp]:
        """Per axis of the array the world axis (z, y, x) that runs most nearly along it."""
        linear = self._matrix[:-1, :-1]
        worlds, axes = linear_sum_assignment(-np.abs(linear / np.linalg.norm(linear, axis=0)))
        return np.asarray(worlds[np.argsort(axes)])

    @cached_property
    def _straight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and translate per axis of the array, so that the image's centre stays where it is."""
        linear = self._matrix[:-1, :-1]
        scale = np.copysign(self.grid.spacing, linear[self._axes, range(3)])
        middle = (np.asarray(self.grid.shape) - 1) / 2
        centre = linear @ middle + self._matrix[:-1, -1]
        return scale, centre[self._axes] - scale * middle

    @property
    def _axis_labels(self) -> tuple[str, ...]:
        return ("y", "x") if self.grid.ndim == 2 else tuple("zyx"[axis] for axis in self._axes)


def is_map(space: str) -> bool:
    """Whether it is a coordinate reference system of the Earth, in which y runs up."""
    return space not in (PIXELS, LPS)


def map_name(space: str) -> str:
    """A coordinate reference system's name for people."""
    return str(CRS.from_user_input(space).name)


def _unit(space: str) -> str:
    """The name that napari knows the world's unit by."""
    if space == LPS:
        return "mm"
    axes = CRS.from_user_input(space).axis_info if is_map(space) else []
    return _UNITS.get(axes[0].unit_name, "pixel") if axes else "pixel"
