"""Images, runs and prompts as napari layers: the only file that knows layer attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from promptile._napari.lazy import LazyArray
from promptile._napari.placement import KEY, Placement
from promptile.grid import Window
from promptile.prompts.prompts import Prompts
from promptile.rendering import Rendering
from promptile.run import Run
from promptile.sources.levels import ladder
from promptile.sources.protocol import Source

LayerTuple = tuple[Any, dict[str, Any], str]
"""What napari makes a layer of: its data, its attributes, its type."""

PAINTABLE = 2**24
"""Samples: labels up to this size are copied into memory, where they can be painted; larger ones are only shown."""

MOST_LAYERS = 16
"""Images with more channels get a slider for them, instead of a layer for each."""

_WHOLE = {2: 2**20, 3: 2**24}
"""Samples of the coarsest level by number of dimensions: napari reads it as a whole, for thumbnails and in 3D."""

_RGB = ("red", "green", "blue")
_MARKS = 50  # a point's diameter is this fraction of the image's longest side
_BOX = "#ffdc00"
_THIN = 1e-6
POSITIVE, NEGATIVE = ("disc", "#2ecc40"), ("x", "#ff4136")
"""Symbol and colour of a point on the object, and of one that is not on it."""


def image_layers(source: Source, path: str, placement: Placement) -> list[LayerTuple]:
    """An image's layers: one in colour where the file names red, green and blue, one in grey per other channel.

    Only the last one, which lies on top, is visible. Nothing is read but what the intensity range is computed from.
    """
    if len(source.channels) > MOST_LAYERS:
        return [_slider_layer(source, path, placement)]
    names = source.channels
    colours = [names.index(c) for c in _RGB] if source.grid.ndim == 2 and set(_RGB) <= set(names) else []
    greys = [i for i, name in enumerate(names) if i not in colours and name != "alpha"]
    layers = [_colour_layer(source, path, placement, colours)] if colours else []
    if colours and not greys:
        return layers
    rendering = Rendering.of(source, channels=greys)
    for channel, low, high in zip(greys, rendering.low, rendering.high, strict=True):
        attributes = {
            "name": f"{source.name} {names[channel]}" if len(names) > 1 else source.name,
            "contrast_limits": (low, high),
            "visible": not layers,
        }
        pyramid = _pyramid(source, source.dtype, partial(_read_channel, source, channel))
        layers.append((pyramid, attributes | _place(placement, path), "image"))
    return layers[::-1]


def labels_layer(run: Run, placement: Placement) -> LayerTuple:
    """A run's labels. Painting on them changes no run."""
    name = run.name.removesuffix(".run.zarr")
    table = run.table.rename(columns={"id": "index"}).drop(columns="bbox")  # measures would outlive what is painted
    attributes = {"name": f"{name} labels", "features": table} | _place(placement, str(run.path))
    if run.grid.window.size <= PAINTABLE:
        return run.read_labels(run.grid.window), attributes, "labels"
    levels = until_whole(run.grid.shape, ladder(run.grid.shape, run.grid.spacing))
    arrays = [LazyArray(_coarse(run.grid.shape, f), np.uint32, partial(coarse_labels, run, f)) for f in levels]
    return arrays, attributes, "labels"


def points_layer(prompts: Prompts, name: str, placement: Placement) -> LayerTuple:
    """All points of the prompts: green discs on the object; red crosses, above them, beside it."""
    shape = placement.grid.shape
    marks = [(point, label, p) for p in prompts.objects for point, label in zip(p.points, p.labels, strict=True)]
    marks.sort(key=lambda mark: not mark[1])
    labels = np.array([label for _, label, _ in marks], bool)
    symbols, colours = point_look(labels)
    attributes = {
        "name": name,
        "ndim": len(shape),
        "features": {
            "object": np.array([p.id for _, _, p in marks], int),
            "label": labels.astype(int),
            "category": np.array([p.category for _, _, p in marks], object),
        },
        "feature_defaults": {"object": 0, "label": 1, "category": ""},
        "face_color": colours if marks else POSITIVE[1],
        "border_color": "white",
        "symbol": symbols if marks else POSITIVE[0],
        "size": max(shape) / _MARKS,
    }
    points = np.reshape([point for point, _, _ in marks], (-1, len(shape)))
    return points, attributes | _place(placement), "points"


def point_look(labels: NDArray[np.bool_]) -> tuple[list[str], list[str]]:
    """Symbol and colour of points with these labels."""
    looks = [POSITIVE if label else NEGATIVE for label in labels]
    return [symbol for symbol, _ in looks], [colour for _, colour in looks]


def boxes_layer(prompts: Prompts, name: str, placement: Placement) -> LayerTuple:
    """All boxes of the prompts, in a volume as rectangles in their first and last slice."""
    boxed = [(p, corners) for p in prompts.objects if p.box is not None for corners in rectangles(p.box)]
    attributes = {
        "name": name,
        "ndim": placement.grid.ndim,
        "shape_type": "rectangle",
        "features": {
            "object": np.array([p.id for p, _ in boxed], int),
            "category": np.array([p.category for p, _ in boxed], object),
        },
        "feature_defaults": {"object": 0, "category": ""},
        "edge_color": _BOX,
        "face_color": "transparent",
        "edge_width": max(placement.grid.shape) / _MARKS / 6,
    }
    return [corners for _, corners in boxed], attributes | _place(placement), "shapes"


def rectangles(box: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """``(4, ndim)`` each: a box ``(2, ndim)`` as the rectangles that draw it, one slice thick each in a volume.

    A box that is one slice thick along an axis lies in that slice, any other between two slices of the first axis.
    """
    if box.shape[1] == 2:
        (top, left), (bottom, right) = box
        return [np.array([[top, left], [top, right], [bottom, right], [bottom, left]])]
    sides = box[1] - box[0]
    flat = np.flatnonzero(np.abs(sides - 1) < _THIN)
    axis = int(flat[0]) if flat.size else 0
    (face,) = rectangles(np.delete(box, axis, axis=1))
    slices = [box[0, axis] + 0.5, box[1, axis] - 0.5] if sides[axis] > 1 + _THIN else [box[:, axis].mean()]
    return [np.insert(face, axis, place, axis=1) for place in slices]


def _place(placement: Placement, path: str = "") -> dict[str, Any]:
    known = {"path": path} if path else {}
    return {**placement.attributes, "metadata": {KEY: known | placement.to_json()}}


def _colour_layer(source: Source, path: str, placement: Placement, channels: Sequence[int]) -> LayerTuple:
    """Samples of 8 bits as they are, others over the image's intensity range; clear where there is no data."""
    window = (0, 255) if source.dtype == np.uint8 else "auto"
    rendering = Rendering.of(source, channels=channels, window=window)
    pyramid = _pyramid(source, np.uint8, partial(_read_colours, source, rendering), after=(4,))
    return pyramid, {"name": source.name, "rgb": True} | _place(placement, path), "image"


def _slider_layer(source: Source, path: str, placement: Placement) -> LayerTuple:
    """All channels in one layer with a slider, over one intensity range."""
    some = sorted({0, len(source.channels) // 2, len(source.channels) - 1})
    rendering = Rendering.of(source, channels=some)
    placed = _place(placement, path)
    if "affine" in placed:
        affine = np.eye(source.grid.ndim + 2)
        affine[1:, 1:] = placed["affine"]
        placed["affine"] = affine
    else:
        placed |= {"scale": (1, *placed["scale"]), "translate": (0, *placed["translate"])}
    placed |= {"units": ("pixel", *placed["units"]), "axis_labels": ("channel", *placed["axis_labels"])}
    pyramid = _pyramid(source, source.dtype, partial(_read_stack, source), before=(len(source.channels),))
    limits = (min(rendering.low), max(rendering.high))
    return pyramid, {"name": source.name, "contrast_limits": limits} | placed, "image"


def _pyramid(
    source: Source,
    dtype: DTypeLike,
    read: Callable[[int, Window], NDArray[Any]],
    before: tuple[int, ...] = (),
    after: tuple[int, ...] = (),
) -> Any:
    """A lazy array per level that is of use to napari; just the one if level 0 is small enough.

    `before` and `after` are axes that the source counts as channels.
    """
    shape = source.grid.shape
    shapes = [_coarse(shape, factors) for factors in until_whole(shape, source.levels)]
    arrays = [LazyArray((*before, *s, *after), dtype, partial(read, level)) for level, s in enumerate(shapes)]
    return arrays if len(arrays) > 1 else arrays[0]


def until_whole(shape: Sequence[int], levels: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The levels down to the first that can be read as a whole: 3D views show the last one, so it should be fine."""
    sizes = [Window.of(_coarse(shape, factors)).size for factors in levels]
    enough = [level for level, size in enumerate(sizes) if size <= _WHOLE[len(shape)]]
    return list(levels[: enough[0] + 1] if enough else levels)


def _coarse(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


def _read_channel(source: Source, channel: int, level: int, window: Window) -> NDArray[Any]:
    (samples,) = source.read(window, level, [channel])
    return np.asarray(samples)


def _read_stack(source: Source, level: int, window: Window) -> NDArray[Any]:
    channels = range(window.start[0], window.stop[0])
    return source.read(Window(window.start[1:], window.shape[1:]), level, channels)


def _read_colours(source: Source, rendering: Rendering, level: int, window: Window) -> NDArray[np.uint8]:
    """The window's part of ``(y, x, 4)``: red, green, blue, alpha."""
    plane = Window(window.start[:-1], window.shape[:-1])
    samples, valid = source.read(plane, level, rendering.channels), source.valid(plane, level)
    if samples.dtype != np.uint8:
        samples = np.rint(255 * rendering.apply(samples, valid).clip(0, 1)).astype(np.uint8)
    alpha = np.where(valid, np.uint8(255), np.uint8(0))
    return np.stack([*samples, alpha], axis=-1)[..., window.slices[-1]]


def coarse_labels(run: Run, factors: Sequence[int], window: Window) -> NDArray[np.uint32]:
    """``window.shape``: the labels in the middle of the coarse samples of a window."""
    middles = [
        np.minimum(np.arange(a, a + n) * f + f // 2, whole - 1)
        for a, n, f, whole in zip(window.start, window.shape, factors, run.grid.shape, strict=True)
    ]
    labels: NDArray[np.uint32] = np.asarray(run.labels.oindex[tuple(middles)], np.uint32)
    return labels
