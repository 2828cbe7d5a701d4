"""Polygons of a vector file: which are boxes, which are outlines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from promptile.errors import PromptError
from promptile.prompts.regions import Outline

Move = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Takes coordinates ``(n, 2)`` to others."""

_NEAR = 0.5
_NEAR_RELATIVE = 0.02
"""A rectangle's vertices lie within half a sample, and 2 % of its shorter side, of its bounds: what remains after a
way through another CRS with rounded decimals."""

_EXACT = 1e-6
_MOST_TURNED = 10.0
"""Degrees by which the axes of another CRS may be turned against the image's for a rectangle to stay a box."""

_STEPS = 16
"""Pieces into which the side of a rectangle is cut before it goes to another CRS, where it is bent."""


def to_shapes(
    geometries: NDArray[np.object_], move: Move, features: NDArray[np.integer[Any]]
) -> list[NDArray[np.float64] | Outline]:
    """A box ``(2, 2)`` or an outline for each polygon, in index coordinates ``(y, x)``.

    A box is what is a rectangle along the image's axes, or along the axes of its own CRS where these are turned by
    no more than 10 degrees against the image's: then it is the bounds of what became of it. `move` takes the file's
    ``(x, y)`` to the image's ``(column, row)``; `features` numbers the geometries in messages.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a box may reach as far as it likes
        return _to_shapes(geometries, move, features)


def _to_shapes(
    geometries: NDArray[np.object_], move: Move, features: NDArray[np.integer[Any]]
) -> list[NDArray[np.float64] | Outline]:
    moved = _move(geometries, move, features)
    square = _rectangles(moved, _NEAR, _NEAR_RELATIVE)
    bounds = shapely.bounds(moved)
    elsewhere = np.flatnonzero(~square & _rectangles(geometries, math.inf, _EXACT))
    elsewhere = elsewhere[_little_turned(shapely.bounds(geometries[elsewhere]), move)]
    sides = shapely.bounds(geometries[elsewhere])
    step = np.maximum(sides[:, 2] - sides[:, 0], sides[:, 3] - sides[:, 1]) / _STEPS
    bounds[elsewhere] = shapely.bounds(shapely.transform(shapely.segmentize(geometries[elsewhere], step), move))
    square[elsewhere] = True
    boxes = bounds[:, [1, 0, 3, 2]].reshape(-1, 2, 2)
    return [boxes[i] if square[i] else _outline(moved[i]) for i in range(len(moved))]


def _move(geometries: NDArray[np.object_], move: Move, features: NDArray[np.integer[Any]]) -> NDArray[np.object_]:
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    places = move(coordinates)
    lost = ~np.isfinite(places).all(axis=1)
    if lost.any():
        raise PromptError(f"feature {features[owners[lost][0]]} lies nowhere in the image's space")
    moved: NDArray[np.object_] = shapely.set_coordinates(geometries.copy(), places)
    flat = ~(shapely.area(moved) > 0)
    if flat.any():
        raise PromptError(
            f"feature {features[flat][0]} is a polygon without area: draw a point instead, or a real polygon"
        )
    return moved


def _rectangles(geometries: NDArray[np.object_], near: float, relative: float) -> NDArray[np.bool_]:
    """Which geometries are their own bounds, within `near` and within `relative` of the shorter side."""
    low_x, low_y, high_x, high_y = shapely.bounds(geometries).T
    width, height = high_x - low_x, high_y - low_y
    tolerance = np.minimum(near, relative * np.minimum(width, height))
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    x, y = coordinates.T
    away = np.abs(np.stack([x - low_x[owners], x - high_x[owners], y - low_y[owners], y - high_y[owners]])).min(axis=0)
    farthest = np.zeros(len(geometries))
    np.maximum.at(farthest, owners, away)
    first = shapely.get_geometry(geometries, 0)
    simple = (shapely.get_num_geometries(geometries) == 1) & (shapely.get_num_interior_rings(first) == 0)
    missing = width * height - shapely.area(geometries)
    whole: NDArray[np.bool_] = simple & (farthest <= tolerance) & (missing <= tolerance * 2 * (width + height))
    return whole


def _little_turned(bounds: NDArray[np.float64], move: Move) -> NDArray[np.bool_]:
    """Whether the sides of these rectangles ``(n, 4)`` end up nearly along the image's axes."""
    low_x, low_y, high_x, high_y = bounds.T
    corner = move(np.stack([low_x, low_y], axis=-1))
    turned = np.zeros(len(bounds))
    for x, y in ((high_x, low_y), (low_x, high_y)):
        side = np.abs(move(np.stack([x, y], axis=-1)) - corner)
        turned = np.maximum(turned, np.degrees(np.arctan2(side.min(axis=-1), side.max(axis=-1))))
    return turned <= _MOST_TURNED


def _outline(geometry: Any) -> Outline:
    """A polygon or multipolygon in ``(column, row)`` as an outline in ``(y, x)``."""
    parts = []
    for polygon in shapely.get_parts(geometry):
        rings = [polygon.exterior, *polygon.interiors]
        parts.append(tuple(shapely.get_coordinates(ring)[:, ::-1].copy() for ring in rings))
    return Outline(tuple(parts))
