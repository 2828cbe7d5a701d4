"""How large an object is: true ground area on the ellipsoid, volume, or samples."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from promptile.grid import LPS, PIXELS, Grid, Window
from promptile.masks import ObjectMask

if TYPE_CHECKING:
    import pandas as pd

_MEASURED = re.compile(r"volume_ml|surface_mm2|diameter_mm|(mean|std)(_.+)?|[xyz]_(min|max)_mm")
"""Names of what `promptile.measuring` adds to the attributes of objects."""

_CELL_M = 5_000.0
"""Side of the cells over which the scale of a map is taken as linear: its curvature is below 1e-6 there."""

_STEP_M = 100.0
"""Half the length of the differences that give the scale: long against rounding, short against the Earth."""


def measure_name(grid: Grid) -> str:
    """The name of the measure of objects on `grid`: `area_m2`, `volume_mm3`, `area_mm2`, `area_px`, `volume_px`."""
    what = "area" if grid.ndim == 2 else "volume"
    if grid.space == LPS:
        return f"{what}_mm{grid.ndim}"
    return "area_m2" if grid.space != PIXELS and grid.ndim == 2 else f"{what}_px"


def measured_columns(objects: pd.DataFrame) -> list[str]:
    """The columns of a table of objects that were measured in their image: true of the masks that were measured."""
    return [name for name in objects if _MEASURED.fullmatch(str(name))]


def measure(mask: ObjectMask, grid: Grid) -> dict[str, float]:
    """The size of an object, under the name that tells its unit.

    On a map ``area_m2`` is the area on the ground, on the ellipsoid of the map's own coordinate system, however the
    map stretches it. NaN if the object lies where the map shows no ground.

    Parameters
    ----------
    mask : ObjectMask
    grid : Grid
        The grid of the image.
    """
    name = measure_name(grid)
    if name == "area_m2":
        return {name: _ground_area(mask, grid)}
    return {name: mask.count * (grid.sample_size if grid.space == LPS else 1.0)}


def label_measures(
    labels: NDArray[np.uint32], window: Window, grid: Grid, ids: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """What `measure` says of many objects at once, for their part in one window.

    Parameters
    ----------
    labels : ndarray of uint32, shape ``window.shape``
        Ids, 0 is background.
    window : Window
        Where `labels` lie in the image.
    grid : Grid
        The grid of the image.
    ids : ndarray of int, shape (n,)
        All ids in `labels`, ascending, without 0.

    Returns
    -------
    ndarray of float, shape (n,)
        To be added up over windows.
    """
    if not len(ids):
        return np.zeros(0)
    slots = np.full(int(ids[-1] - ids[0]) + 1, -1, np.int64)
    slots[ids - ids[0]] = np.arange(len(ids))
    ground = _ground(grid.space) if measure_name(grid) == "area_m2" else None
    if ground is None:
        size = grid.sample_size if grid.space == LPS else 1.0
        if measure_name(grid) == "area_m2":
            size = grid.sample_size * _unit_m(grid.space) ** 2
        return np.asarray(_counts(labels.ravel(), int(ids[0]), slots, len(ids)) * size, float)
    return np.asarray(_sums(labels, int(ids[0]), slots, len(ids), *_areas(ground, window, grid)), float)


def _areas(ground: _Ground, window: Window, grid: Grid) -> tuple[NDArray[np.float64], int]:
    """Areas of the samples at the corners of cells ``(rows + 1, columns + 1)`` over a window, and a cell's side."""
    middle = np.add(window.start, np.subtract(window.shape, 1) / 2)[None]
    longest = float(np.max(ground.sample_lengths(grid, middle, 1.0)))
    if not math.isfinite(longest) or longest == 0:
        return np.full((2, 2), math.nan), max(window.shape)
    side = 2 ** int(np.clip(math.log2(_CELL_M / longest), 0, 9))
    rows, columns = (np.arange(-(-n // side) + 1) * side + a for a, n in zip(window.start, window.shape, strict=True))
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).astype(float)
    areas = ground.sample_areas(grid, corners.reshape(-1, 2), _STEP_M / longest)
    return areas.reshape(corners.shape[:2]), side


@njit(cache=True, nogil=True)
def _counts(labels: Any, first: int, slots: Any, number: int) -> Any:
    counts = np.zeros(number, np.int64)
    for i in range(labels.size):
        if labels[i]:
            counts[slots[np.int64(labels[i]) - first]] += 1
    return counts


@njit(cache=True, nogil=True)
def _sums(labels: Any, first: int, slots: Any, number: int, areas: Any, side: int) -> Any:
    """Sums over the samples of each label of the area, which is linear within a cell: run by run along the rows."""
    sums = np.zeros(number)
    for y in range(labels.shape[0]):
        row, down = y // side, (y % side) / side
        for column in range(areas.shape[1] - 1):
            left = (1 - down) * areas[row, column] + down * areas[row + 1, column]
            right = (1 - down) * areas[row, column + 1] + down * areas[row + 1, column + 1]
            x, start = column * side, column * side
            stop = min(start + side, labels.shape[1])
            while x < stop:
                label, begin = labels[y, x], x
                x += 1
                while x < stop and labels[y, x] == label:
                    x += 1
                if label:
                    middle = ((begin + x - 1) / 2 - start) / side
                    sums[slots[np.int64(label) - first]] += (x - begin) * ((1 - middle) * left + middle * right)
    return sums


def _ground_area(mask: ObjectMask, grid: Grid) -> float:
    """Sum over cells: number of samples times the area of a sample at their centroid.

    With the scale linear in a cell, that is the sum over its samples, wherever in the cell they lie.
    """
    if not mask.count:
        return 0.0
    ground = _ground(grid.space)
    if ground is None:
        return mask.count * grid.sample_size * _unit_m(grid.space) ** 2
    middle = np.add(mask.window.start, np.subtract(mask.window.shape, 1) / 2)[None]
    longest = float(np.max(ground.sample_lengths(grid, middle, 1.0)))
    if not math.isfinite(longest) or longest == 0:
        return math.nan
    side = 2 ** int(np.clip(math.log2(_CELL_M / longest), 0, 9))
    total = 0.0
    for block, samples in mask.blocks():
        inside = block & mask.window
        counts, centroids = _cells(samples[inside.within(block).slices], inside, side)
        total += float(np.sum(counts * ground.sample_areas(grid, centroids, _STEP_M / longest)))
    return total


def _cells(samples: NDArray[np.bool_], window: Window, side: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Per cell of at most `side` × `side` samples that is not empty: their number ``(n,)`` and centroid ``(n, 2)``."""
    side = min(side, max(samples.shape))
    cells = [-(-n // side) for n in samples.shape]
    padded = np.pad(samples, [(0, c * side - n) for c, n in zip(cells, samples.shape, strict=True)])
    split = padded.reshape(cells[0], side, cells[1], side)
    by_row, by_col = split.sum(axis=3), split.sum(axis=1)  # (cells, side, cells), (cells, cells, side)
    counts = by_row.sum(axis=1)
    steps = np.arange(side)
    sums = np.stack([np.einsum("isj,s->ij", by_row, steps), by_col @ steps], axis=-1)
    some = counts > 0
    first = np.argwhere(some) * side + window.start
    return counts[some], first + sums[some] / counts[some][:, None]


class _Ground:
    """The surface of the ellipsoid under a map, as points in space."""

    def __init__(self, crs: CRS, geodetic: CRS) -> None:
        self._to_geodetic = Transformer.from_crs(crs, geodetic, always_xy=True)
        self._radians = geodetic.axis_info[0].unit_conversion_factor
        ellipsoid = geodetic.ellipsoid
        if ellipsoid is None:
            raise ValueError(f"{geodetic.name} has no ellipsoid")
        self._radius = ellipsoid.semi_major_metre
        self._polar = (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2

    def sample_areas(self, grid: Grid, indices: NDArray[np.float64], step: float) -> NDArray[np.float64]:
        """Square metres ``(n,)`` of a sample at index coordinates ``(n, 2)``; `step` in samples."""
        down, right = self._tangents(grid, indices, step)
        areas: NDArray[np.float64] = np.linalg.norm(np.cross(down, right), axis=-1)
        return areas

    def sample_lengths(self, grid: Grid, indices: NDArray[np.float64], step: float) -> NDArray[np.float64]:
        """Metres ``(2, n)`` from a sample to the next one down and right."""
        lengths: NDArray[np.float64] = np.linalg.norm(self._tangents(grid, indices, step), axis=-1)
        return lengths

    def _tangents(self, grid: Grid, indices: NDArray[np.float64], step: float) -> NDArray[np.float64]:
        """Metres in space ``(2, n, 3)`` per sample down and right: central differences, so poles need no care."""
        offsets = step * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[:, None]
        ends = self._points(grid.to_world(indices + offsets))
        with np.errstate(invalid="ignore"):  # outside of the map: infinite minus infinite is NaN, as documented
            tangents: NDArray[np.float64] = (ends[::2] - ends[1::2]) / (2 * step)
        return tangents

    def _points(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map coordinates ``(..., 2)`` as points in space ``(..., 3)``, in metres from the Earth's centre."""
        lon, lat = (np.asarray(a) * self._radians for a in self._to_geodetic.transform(world[..., 0], world[..., 1]))
        with np.errstate(invalid="ignore"):
            curve = self._radius / np.sqrt(1 - (1 - self._polar) * np.sin(lat) ** 2)
            return np.stack(
                [
                    curve * np.cos(lat) * np.cos(lon),
                    curve * np.cos(lat) * np.sin(lon),
                    curve * self._polar * np.sin(lat),
                ],
                axis=-1,
            )


@lru_cache(maxsize=8)
def _ground(space: str) -> _Ground | None:
    """The ground under a coordinate system; None for a local one, which is not tied to the Earth."""
    crs = CRS.from_user_input(space)
    geodetic = crs.geodetic_crs
    if geodetic is None or geodetic.is_geocentric:
        return None
    flat = geodetic.to_2d()
    return _Ground(crs.to_2d(), flat)


@lru_cache(maxsize=8)
def _unit_m(space: str) -> float:
    """Metres per unit of a coordinate system."""
    return float(CRS.from_user_input(space).axis_info[0].unit_conversion_factor)
