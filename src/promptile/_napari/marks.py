"""Prompts as Points and Shapes layers, which the user edits with napari's own tools.

Any Points and Shapes layer of the viewer will do. Marks go from the layer's own coordinates through the viewer's
world into the image's index coordinates, so that what is seen on a place of the image is said of that place,
whoever moved, scaled or turned which layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Layer, Points, Shapes
from numpy.typing import NDArray

from promptile._napari.areas import area_of, drawn_as, shapes_of
from promptile._napari.images import Shown, move, to_world_matrix
from promptile._napari.layers import NEGATIVE, POSITIVE, boxes_layer, point_look, points_layer
from promptile._napari.placement import Placement
from promptile._napari.watch import quiet
from promptile.errors import PromptError
from promptile.prompts.marks import Mark, assemble, of_kind, parse_fields
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt

_DEFAULTS = {"object": 0, "label": 1, "category": ""}


_ON_SCREEN = (2, 20)
"""Pixels that a point is across, at least and at most: zoomed into a large image it would hide what it is on."""


def new_marks(image: Shown, name: str) -> tuple[Points, Shapes]:
    """Empty layers for prompts in the place of an image; the caller adds them to the viewer.

    Points have the features ``object`` (0: none yet), ``label`` (1 on the object, 0 not on it) and ``category``,
    and look as their label says, also after edits. Shapes have ``object`` and ``category``.
    """
    placement = Placement.among([image.layer], image.grid)
    place = place_of_grid(image)
    coordinates, attributes, _ = points_layer(Prompts(()), f"{name} points", placement)
    points = Points(coordinates, canvas_size_limits=_ON_SCREEN, **_without_place(attributes), **place)
    corners, attributes, _ = boxes_layer(Prompts(()), f"{name} boxes", placement)
    shapes = Shapes(corners or None, **_without_place(attributes), **place)
    follow_labels(points)
    return points, shapes


def _without_place(attributes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in attributes.items() if k not in ("scale", "translate", "affine", "units", "axis_labels")}


def place_of_grid(image: Shown) -> dict[str, Any]:
    """What places a layer of the image's own axes, none of time or channels, exactly where the image's layer is now."""
    layer, n = image.layer, image.grid.ndim
    matrix = np.eye(n + 1)
    matrix[:-1, :-1] = to_world_matrix(layer)[-1 - n : -1, -1 - n : -1]
    matrix[:-1, -1] = image.to_world(np.zeros((1, n)))[0, -n:]
    common = {"units": layer.units[-n:], "axis_labels": layer.axis_labels[-n:]}
    scale = np.diag(matrix)[:-1]
    if np.count_nonzero(matrix[:-1, :-1] - np.diag(scale)):
        return {**common, "affine": matrix}
    return {**common, "scale": scale, "translate": matrix[:-1, -1]}


def follow_labels(points: Points) -> None:
    """Let the points of a layer look as their ``label`` says, from now on; gives them the features that they lack."""
    missing = {name: value for name, value in _DEFAULTS.items() if name not in points.features}
    if missing:
        defaults = points.feature_defaults.iloc[0].to_dict() if len(points.feature_defaults.columns) else {}
        points.features = points.features.assign(**missing)
        points.feature_defaults = {**defaults, **missing}
    _look(points)
    for event in (points.events.data, points.events.features, points.events.set_data):
        event.connect(_on_change)  # a second time does nothing


def _on_change(event: Any) -> None:
    _look(event.source)


def _look(points: Points) -> None:
    """Symbols and colours as the labels say, where they are not yet."""
    labels = _labels(points)
    if len(labels) != len(points.data) or len(points.symbol) != len(labels):
        return  # in the middle of a change; napari says when it is through
    symbols, colours = point_look(labels)
    if [str(symbol) for symbol in points.symbol] != symbols:
        with points.block_update_properties():
            points.symbol = symbols
            points.face_color = colours


def _labels(points: Points) -> NDArray[np.bool_]:
    """``(n,)``: False where the label is 0."""
    return np.array([str(label) not in ("0", "0.0", "False") for label in points.features.get("label", ())], bool)


def set_positive(points: Points, positive: bool) -> None:
    """Say what the next points are; those that are there stay what they are, selected or not."""
    follow_labels(points)
    with points.block_update_properties():
        points.feature_defaults = {**points.feature_defaults.iloc[0].to_dict(), "label": int(positive)}
        points.current_symbol, points.current_face_color = POSITIVE if positive else NEGATIVE


def is_positive(points: Points) -> bool:
    """What the next point is. Selecting a point in napari makes the next one like it."""
    defaults = points.feature_defaults
    return "label" not in defaults or str(defaults["label"].iloc[0]) not in ("0", "0.0", "False")


def prompts_of(points: Points | None, shapes: Shapes | None, image: Shown, *, single: bool) -> Prompts:
    """What the marks of two layers say of an image, in index coordinates of its level 0.

    Rectangles along the image's axes are boxes, other shapes areas. In a volume, a shape is one slice thick, and
    the boxes of one object are one box that holds them all: draw one in its first slice and one in its last.

    Parameters
    ----------
    points, shapes : layers, optional
        Any of the viewer; with the features ``object``, ``label`` and ``category`` or without them.
    image : Shown
    single : bool
        True: all marks mean one object, number 1; of several boxes in a 2D image the last one counts. False: what
        the features say, as in prompt files: without `object`, each positive point, box or area is an object of
        its own, and a negative point counts for all.

    Raises
    ------
    PromptError
        If a mark lies outside the image, says nothing, or contradicts another.
    """
    marks = [*_point_marks(points, image), *_shape_marks(shapes, image)]
    if single:
        marks = _as_one(marks, image.grid.ndim)
    if image.grid.ndim == 3:
        marks = _boxes_joined(marks)
    if not marks:
        return Prompts(())
    return assemble(of_kind(marks, "prompts")).inside(image.grid.shape)


def _point_marks(points: Points | None, image: Shown) -> Iterator[Mark]:
    if points is None or not len(points.data):
        return
    world = _world(points, points.data, image)
    places, here = image.to_index(world), image.here(world) & points.shown
    said = _said(points, len(places))
    for i in np.flatnonzero(here):
        yield _mark(f"point {i} of layer {points.name!r}", places[i], said[i])


def _shape_marks(shapes: Shapes | None, image: Shown) -> Iterator[Mark]:
    if shapes is None:
        return
    said = _said(shapes, len(shapes.data))
    for i, (vertices, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True)):
        where = f"shape {i} of layer {shapes.name!r}"
        world = _world(shapes, drawn_as(vertices, kind, where), image)
        if image.here(world.mean(axis=0)).all():
            yield _mark(where, area_of(image.to_index(world), kind, image.grid.shape, where), said[i])


def _said(layer: Layer, count: int) -> list[tuple[Any, ...]]:
    """Label, object and category of each mark; None where the layer's features do not say."""
    columns = [list(layer.features.get(name, ()))[:count] for name in ("label", "object", "category")]
    return list(zip(*(column + [None] * (count - len(column)) for column in columns), strict=True))


def _mark(where: str, shape: Any, said: tuple[Any, ...]) -> Mark:
    label, owner, category = said
    try:
        return Mark(where, shape, *parse_fields(label, None if owner == 0 else owner, category, [shape]))
    except ValueError as error:
        raise PromptError(f"{where}: {error}") from error


def _world(layer: Layer, places: NDArray[np.float64], image: Shown) -> NDArray[np.float64]:
    if layer.ndim < image.grid.ndim:
        raise PromptError(
            f"layer {layer.name!r} has {layer.ndim} axes and {image.layer.name!r} {image.grid.ndim}: "
            "draw in a layer that was made for this image"
        )
    return move(to_world_matrix(layer), places)


def _as_one(marks: Sequence[Mark], ndim: int) -> list[Mark]:
    """All marks as those of object 1; in 2D its last box only, for a box that is drawn again replaces the first."""
    category = next((mark.category for mark in reversed(marks) if mark.category), "")
    boxes = [mark for mark in marks if mark.form == "box"]
    dropped = boxes[:-1] if ndim == 2 else []
    return [replace(mark, owner=1, category=category) for mark in marks if mark not in dropped]


def _boxes_joined(marks: Sequence[Mark]) -> list[Mark]:
    """The boxes of each object as one, in the place of the first."""
    kept: list[Mark] = []
    for mark in marks:
        first = next((i for i, m in enumerate(kept) if m.form == mark.form == "box" and m.owner == mark.owner), None)
        if first is None or mark.owner is None:
            kept.append(mark)
        else:
            both = np.concatenate([kept[first].shape, mark.shape])
            kept[first] = replace(kept[first], shape=np.stack([both.min(axis=0), both.max(axis=0)]))
    return kept


def clear(points: Points, shapes: Shapes) -> None:
    """Remove all marks; who watches them hears of it once."""
    with quiet(points, shapes):
        _empty(points, shapes)


def show_prompts(points: Points, shapes: Shapes, prompt: Prompt, image: Shown) -> None:
    """Put the marks of one object into two layers, in the place of what is there, to edit them."""
    at = image.to_world(prompt.points.reshape(-1, image.grid.ndim))
    drawn = [(_onto(shapes, image.to_world(corners)), kind) for kind, corners in shapes_of(prompt)]
    with quiet(points, shapes):
        _empty(points, shapes)
        follow_labels(points)
        if len(at):
            points.add(_onto(points, at))
            points.features = points.features.assign(
                object=prompt.id, label=prompt.labels.astype(int), category=prompt.category
            )
            points.selected_data = set()
        if drawn:
            shapes.add(drawn)
            shapes.features = shapes.features.assign(object=prompt.id, category=prompt.category)


def _empty(points: Points, shapes: Shapes) -> None:
    points.selected_data = set()
    points.remove(list(range(len(points.data))))
    if len(shapes.data):  # napari takes as long to empty what is empty
        shapes.data = []  # ends a polygon that is being drawn, too
        shapes.features = shapes.features.iloc[:0]


def _onto(layer: Layer, world: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, layer.ndim)``: places in the viewer's world in a layer's own coordinates."""
    missing = max(layer.ndim - world.shape[1], 0)
    places = np.pad(world, ((0, 0), (missing, 0)))[:, -layer.ndim :]
    return move(np.linalg.inv(to_world_matrix(layer)), places)
