"""What napari's shapes are as boxes and areas of an image, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes as outlines

from promptile._napari.layers import rectangles
from promptile.errors import PromptError
from promptile.grid import Window
from promptile.prompts.polygons import to_shapes
from promptile.prompts.regions import Outline, Raster
from promptile.prompts.types import Prompt, Region

_ROUND = 64  # corners of an ellipse
_IN_SLICE = 0.5
"""Samples by which a shape may leave its slice, which is less than a shape in the next one does."""


def drawn_as(vertices: NDArray[np.float64], kind: str, where: str) -> NDArray[np.float64]:
    """``(n, ndim)``: the corners of a napari shape, of an ellipse those of a polygon close to it."""
    if kind == "line" or len(vertices) < 3:
        raise PromptError(f"{where} is a line: draw a rectangle, an ellipse or a polygon")
    if kind != "ellipse":
        return vertices
    angles = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    along, across = (vertices[1] - vertices[0]) / 2, (vertices[3] - vertices[0]) / 2
    curve: NDArray[np.float64] = vertices.mean(axis=0) + np.cos(angles) * along + np.sin(angles) * across
    return curve


def area_of(
    corners: NDArray[np.float64], kind: str, shape: Sequence[int], where: str
) -> NDArray[np.float64] | Outline | Raster:
    """A shape with corners ``(n, ndim)`` in index coordinates as a box ``(2, ndim)`` or an area.

    A rectangle along the axes is a box, unless it was drawn as a path. In a volume, a shape fills the slice that it
    lies in; a rectangle across slices is its bounds.
    """
    if corners.shape[1] == 2:
        return _flat(corners, kind, where)
    extents = np.ptp(corners, axis=0)
    axis = int(extents.argmin())
    if extents[axis] > _IN_SLICE:
        if kind == "rectangle":
            return np.stack([corners.min(axis=0), corners.max(axis=0)])
        raise PromptError(f"{where} lies across slices of the image: draw it in one slice")
    place = float(np.rint(corners[:, axis].mean()))
    area = _flat(np.delete(corners, axis, axis=1), kind, where)
    if isinstance(area, Outline):
        return _slab(area, axis, int(place), shape, where)
    return np.insert(area, axis, [place - 0.5, place + 0.5], axis=1)


def _flat(corners: NDArray[np.float64], kind: str, where: str) -> NDArray[np.float64] | Outline:
    """A box ``(2, 2)`` or an outline of a polygon ``(n, 2)``, which may cross itself."""
    polygon = shapely.Polygon(corners[:, ::-1])
    parts = shapely.get_parts(polygon if polygon.is_valid else shapely.make_valid(polygon))
    areas = [p for part in parts for p in shapely.get_parts(part) if isinstance(p, shapely.Polygon) and p.area > 0]
    if not areas:
        raise PromptError(f"{where} has no area: draw it again, or delete it")
    if kind == "path":
        return Outline(tuple(_corners_of(polygon) for polygon in areas))
    geometry = areas[0] if len(areas) == 1 else shapely.MultiPolygon(areas)
    (area,) = to_shapes(np.array([geometry], object), lambda xy: xy, np.array([1]))
    return area


def _corners_of(polygon: shapely.Polygon) -> tuple[NDArray[np.float64], ...]:
    """A polygon in ``(column, row)`` as the rings of an outline."""
    return tuple(shapely.get_coordinates(ring)[:, ::-1] for ring in (polygon.exterior, *polygon.interiors))


def _slab(outline: Outline, axis: int, place: int, shape: Sequence[int], where: str) -> Raster:
    """The samples in an outline that lies in one slice of a volume."""
    low, high = np.floor(outline.box[0] + 0.5), np.floor(outline.box[1] + 0.5) + 1
    plane = Window.between(low.tolist(), high.tolist()).clip(np.delete(shape, axis).tolist())
    mask = outline.within(plane, (1, 1)) if not plane.empty else np.zeros(plane.shape, bool)
    if not mask.any():
        raise PromptError(f"{where} holds no sample of the image: draw it on the image, or larger")
    used = [np.flatnonzero(mask.any(axis=1 - side)) for side in (0, 1)]
    mask = np.expand_dims(mask[used[0][0] : used[0][-1] + 1, used[1][0] : used[1][-1] + 1], axis)
    start = np.insert(np.add(plane.start, [side[0] for side in used]), axis, place)
    return Raster(Window(tuple(start.tolist()), mask.shape), mask)


def shapes_of(prompt: Prompt) -> list[tuple[str, NDArray[np.float64]]]:
    """What draws a prompt's box and region: napari's type and ``(n, ndim)`` corners in index coordinates."""
    drawn = [("rectangle", corners) for corners in rectangles(prompt.box)] if prompt.box is not None else []
    return drawn + [_as_area(ring) for ring in _rings(prompt.region)]


def _as_area(ring: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """A polygon; a closed path where the polygon would be taken for a box."""
    if len(ring) > 4:
        return "polygon", ring
    return "path", np.concatenate([ring, ring[:1]])


def _rings(region: Region | None) -> Iterator[NDArray[np.float64]]:
    if isinstance(region, Outline):
        yield from (_one_ring(rings) for rings in region.parts)
    elif isinstance(region, Raster) and region.mask.ndim == 2:
        yield from _traced(region.mask, region.window.start)
    elif isinstance(region, Raster):
        axis = int(np.argmin(region.mask.shape))
        start = np.delete(region.window.start, axis).tolist()
        for i, plane in enumerate(np.moveaxis(region.mask, axis, 0)):
            yield from (np.insert(r, axis, region.window.start[axis] + i, axis=1) for r in _traced(plane, start))


def _traced(mask: NDArray[np.bool_], start: Sequence[int]) -> Iterator[NDArray[np.float64]]:
    """``(n, 2)`` each: the outlines of a mask that starts at `start`."""
    for found, _ in outlines(mask.astype(np.uint8), mask=mask):
        yield _one_ring([np.array(ring)[:, ::-1] - 0.5 + start for ring in found["coordinates"]])


def _one_ring(rings: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """``(n, 2)``: a polygon whose holes are joined to its edge by cuts without width, as napari knows no holes."""
    outer = _open(rings[0])
    return reduce(lambda ring, hole: np.concatenate([ring, ring[:1], hole, hole[:1]]), map(_open, rings[1:]), outer)


def _open(ring: NDArray[Any]) -> NDArray[np.float64]:
    """A ring without its first corner at the end."""
    return np.asarray(ring[:-1] if np.array_equal(ring[0], ring[-1]) else ring, float)
