"""What is measured of each object of a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptile.errors import UsageError
from promptile.grid import LPS, Grid
from promptile.measures import measure
from promptile.measuring.extent import longest_diameter, outermost
from promptile.measuring.intensity import Blocks, blocks_of_image, mean_and_deviation
from promptile.measuring.surface import surface
from promptile.sources.protocol import Source
from promptile.writers.protocol import Result

_CUBIC_MM_PER_ML = 1000.0


@dataclass(frozen=True)
class Measured:
    """Measurements of one object.

    Parameters
    ----------
    id : int
    category : str
    sizes : mapping of str to float
        In a volume ``volume_mm3``, ``volume_ml``, ``surface_mm2`` and ``diameter_mm``; in a plane its area.
    intensities : mapping of str to float
        ``mean`` and ``std`` in the image's own values, of each channel where there are several.
    bbox : tuple of tuples of int
        First sample and the one after the last, in index coordinates.
    bounds : tuple of tuples of float
        Least and greatest ``(x, y[, z])`` in the world: LPS millimetres in a medical image.
    """

    id: int
    category: str
    sizes: dict[str, float]
    intensities: dict[str, float]
    bbox: tuple[tuple[int, ...], tuple[int, ...]]
    bounds: tuple[tuple[float, ...], tuple[float, ...]]


def measure_objects(result: Result, image: Source, ids: Sequence[int] | None = None) -> Iterator[Measured]:
    """Measure objects in the image that they were found in, one after the other.

    Memory holds one object's mask in packed bits, and a few blocks of the image.

    Parameters
    ----------
    result : Result
    image : Source
    ids : sequence of int, optional
        Which objects; by default all that have samples.

    Raises
    ------
    UsageError
        If `image` has another grid than the result.
    """
    if image.grid.shape != result.grid.shape:
        raise UsageError(
            f"{image.name} has the shape {image.grid.shape} and the result {result.grid.shape}: give the image that"
            " the result was made from"
        )
    objects = result.objects
    wanted = objects if ids is None else objects[objects["id"].isin(ids)]
    read = blocks_of_image(image)
    categories = wanted["category"] if "category" in wanted else [""] * len(wanted)
    for number, category in zip(wanted["id"], categories, strict=True):
        measured = _measure(result, int(number), category, image, read)
        if measured is not None:
            yield measured


def _measure(result: Result, number: int, category: Any, image: Source, read: Blocks) -> Measured | None:
    mask = result.mask(number)
    if not mask.count:
        return None
    grid = result.grid
    corners = outermost(mask, grid)
    sizes = measure(mask, grid) | (_solid(mask, grid, corners) if grid.space == LPS and grid.ndim == 3 else {})
    mean, deviation = mean_and_deviation(mask, read, len(image.channels))
    alone = len(image.channels) == 1
    intensities: dict[str, float] = {}
    for channel, m, s in zip(image.channels, mean.tolist(), deviation.tolist(), strict=True):
        suffix = "" if alone else f"_{channel}"
        intensities |= {f"mean{suffix}": m, f"std{suffix}": s}
    low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    bbox = mask.window.start, mask.window.stop
    return Measured(number, category or "", sizes, intensities, bbox, (tuple(low), tuple(high)))


def _solid(mask: Any, grid: Grid, corners: np.ndarray[Any, Any]) -> dict[str, float]:
    """What only a body in a medical volume has."""
    return {
        "volume_ml": measure(mask, grid)["volume_mm3"] / _CUBIC_MM_PER_ML,
        "surface_mm2": surface(mask, grid),
        "diameter_mm": longest_diameter(corners),
    }
