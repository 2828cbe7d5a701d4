"""Saving layers from napari: labels with the geometry of their image, marks as prompt files.

Errors are raised, and napari shows their text. A file that is there is replaced: napari's dialog has asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from promptile import __version__, writers
from promptile._napari.images import Shown, to_world_matrix
from promptile._napari.layer_result import LayerResult
from promptile._napari.lazy import LazyArray
from promptile._napari.marks import prompts_of
from promptile._napari.placement import KEY, OPTIONS
from promptile._napari.reader import shown_layers
from promptile.errors import PromptError, RunError
from promptile.grid import Grid
from promptile.run import Run
from promptile.run.parts import grid_from
from promptile.sources.arrays import ArraySource

_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_SAME = 1e-3
"""Share of a sample by which two grids may differ and be called the same: napari's transforms are rounded."""


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Save a Labels layer in any format of `promptile.writers`, on the grid of the image that it lies on.

    Parameters
    ----------
    path : str
    data : array-like or sequence of array-like
        The labels, read by window; of several levels, the first.
    meta : mapping
        The layer's attributes.

    Returns
    -------
    list of str
        The one path.
    """
    known = meta.get("metadata", {}).get(KEY, {})
    labels = data[0] if meta.get("multiscale") or isinstance(data, list | tuple) else data
    if _shows_less(labels, known):
        labels = known["labels"]
    grid = _known_grid(known, labels.shape) or _grid_under(labels.shape, meta)
    features = pd.DataFrame(meta.get("features", {}))
    result = LayerResult(labels, grid, features, _origin(known.get("path")), _image_on(grid))
    return [str(writers.write(result, path, overwrite=True))]


def _image_on(grid: Grid) -> dict[str, Any]:
    """What opens the topmost image on a grid, to which DICOM files refer; empty if none is shown."""
    for layer, own in _ours():
        known = layer.metadata[KEY]
        if isinstance(layer, Image) and own == grid and known.get("path"):
            return {"image": known["path"]} | {name: known[name] for name in OPTIONS if name in known}
    return {}


def _shows_less(labels: Any, known: Mapping[str, Any]) -> bool:
    """Whether a layer holds less than the ``labels`` that our metadata has: a coarse level, or all but a part.

    Labels that can be painted on are the layer's own, also where it is a copy of one of ours.
    """
    whole = known.get("labels")
    return whole is not None and (isinstance(labels, LazyArray) or tuple(labels.shape) != tuple(whole.shape))


def write_prompts(path: str, layers: Sequence[tuple[Any, Mapping[str, Any], str]]) -> list[str]:
    """Save a Points layer, a Shapes layer or both as one prompt file.

    They are prompts of the image that they were made for, if it is open or they know its grid; else of the topmost
    image on which they all lie.

    Parameters
    ----------
    path : str
        One of the formats of `promptile.prompts.writing`.
    layers : sequence of (data, attributes, type)
        At most one of each type.

    Returns
    -------
    list of str
        The one path.

    Raises
    ------
    PromptError
        If there is no image, or marks that mean nothing on it.
    """
    marks = [Layer.create(data, dict(meta), kind) for data, meta, kind in layers]
    points = next((layer for layer in marks if isinstance(layer, Points)), None)
    shapes = next((layer for layer in marks if isinstance(layer, Shapes)), None)
    first: PromptError | None = None
    for image in _images_of(marks):
        try:
            prompts = prompts_of(points, shapes, image, single=False)
        except PromptError as error:
            first = first or error
            continue
        prompts.write(path, image.grid)
        return [path]
    raise first or PromptError("No image is open that the prompts could be for: open it, then save them again")


def _images_of(marks: Sequence[Layer]) -> Iterator[Shown]:
    """The images that marks may be for, the likeliest first."""
    known = [(layer, grid_from(layer.metadata[KEY]["grid"])) for layer in marks if KEY in layer.metadata]
    ours = _ours()
    grids = [grid for _, grid in known]
    same = [(layer, grid) for layer, grid in ours if grid in grids]
    for layer, grid in [*same, *known, *((layer, grid) for layer, grid in ours if grid not in grids)]:
        no_samples = ArraySource(np.broadcast_to(np.uint8(0), grid.shape), grid)
        yield Shown(layer, no_samples, (0,) * (layer.ndim - grid.ndim))
    if known or ours:
        return
    for layer in reversed(shown_layers()):
        if not isinstance(layer, Image):
            continue
        show_warning(f"{layer.name} was not opened by Promptile: coordinates are its samples, without a CRS")
        yield Shown.of(napari.current_viewer(), layer)


def _ours() -> list[tuple[Layer, Grid]]:
    """Layers of the viewer that show the samples of a grid which our metadata gives: images first, from the top."""
    found = []
    for layer in reversed(shown_layers()):
        if isinstance(layer, Image | Labels) and KEY in layer.metadata:
            shape = (layer.data[0] if layer.multiscale else layer.data).shape
            grid = _known_grid(layer.metadata[KEY], shape[: layer.ndim])
            found += [(layer, grid)] if grid is not None else []
    return sorted(found, key=lambda pair: not isinstance(pair[0], Image))


def _known_grid(known: Mapping[str, Any], shape: Sequence[int]) -> Grid | None:
    """The grid that our metadata gives; None without any, or if the labels have another shape."""
    grid = grid_from(known["grid"]) if "grid" in known else None
    return grid if grid is not None and grid.shape == tuple(shape)[-grid.ndim :] else None


def _grid_under(shape: Sequence[int], meta: Mapping[str, Any]) -> Grid:
    """The grid of labels that napari made: that of the image they lie on, exactly or at least in its world."""
    name = meta.get("name", "The layer")
    world = to_world_matrix(_placed(len(shape), meta))
    found = [(layer, own, grid) for layer, own in _ours() if (grid := _in_world_of(layer, own, shape, world))]
    for _, own, grid in found:
        if grid.shape == own.shape and _same(grid, own):
            return own
    if found:
        layer, _, grid = found[0]
        show_warning(f"{name} has other samples than the images here: it keeps its own, where it lies on {layer.name}")
        return grid
    show_warning(f"{name} lies on no image that Promptile opened: its coordinates are napari's, without a CRS")
    return Grid.of(shape, _reversed(world))


def _placed(ndim: int, meta: Mapping[str, Any]) -> Layer:
    """A layer without data that lies where the one with these attributes does."""
    place = {key: meta[key] for key in _PLACE if key in meta}
    return Layer.create(np.zeros((0, ndim)), place, "points")


def _in_world_of(image: Layer, grid: Grid, shape: Sequence[int], world: NDArray[np.float64]) -> Grid | None:
    """The grid of labels of this shape, in the world of an image on `grid`; None if that has other axes.

    It goes through the viewer: labels' index, viewer's world, image's index, and its grid knows the rest. So it holds
    for an image that was moved, and for one that is shown straightened.
    """
    if image.ndim != len(shape):
        return None
    leading = image.ndim - grid.ndim
    across = (np.linalg.inv(to_world_matrix(image)) @ world)[leading:, leading:]
    return Grid.of(tuple(shape)[leading:], grid.matrix @ across, grid.space)


def _same(one: Grid, other: Grid) -> bool:
    """Whether two grids of one shape have the same samples."""
    corners = np.array(list(np.ndindex((2,) * one.ndim))) * np.subtract(one.shape, 1)
    return bool(np.abs(other.to_index(one.to_world(corners)) - corners).max() < _SAME)


def _reversed(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """From napari's world ``(y, x)`` to ours ``(x, y)``."""
    return np.vstack([matrix[-2::-1], matrix[-1:]])


def _origin(path: str | None) -> dict[str, Any]:
    """Where labels come from: what the run says in whose folder they are, or the name of the image."""
    if path is None:
        return {"promptile": __version__}
    if (Path(path) / "prompts.json").is_file():
        try:
            return Run.open(path).origin
        except RunError:
            pass  # the run has changed since it was opened: its labels are still what the layer shows
    return {"image": {"name": os.path.basename(path)}, "promptile": __version__}
