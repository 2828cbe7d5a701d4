"""Layers over a part of another one, or over coarser samples of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.transforms import Affine


def placing(layer: Layer) -> dict[str, Any]:
    """The attributes that place a layer where the user has it now."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return {name: getattr(layer, name) for name in names}


def moved(attributes: Mapping[str, Any], start: Sequence[float], step: Sequence[float] | float) -> dict[str, Any]:
    """What places a layer whose first sample begins where sample `start` of the placed one does.

    Parameters
    ----------
    attributes : mapping
        What places that one: ``scale``, ``translate``, ``affine``, and so on.
    start : sequence of float
        Index of a sample.
    step : float or sequence of float
        How many of those samples one sample of the new layer covers along each axis.
    """
    steps = np.broadcast_to(np.asarray(step, float), (len(start),))
    scale = np.asarray(attributes.get("scale", np.ones(len(start))), float)
    own = Affine(
        scale=scale,
        translate=attributes.get("translate", np.zeros(len(start))),
        rotate=attributes.get("rotate"),
        shear=attributes.get("shear"),
    )
    # an index is a sample's centre
    return {**attributes, "scale": scale * steps, "translate": own(np.asarray(start) + (steps - 1) / 2)}


def put(layer: Layer, attributes: Mapping[str, Any]) -> None:
    """Place a layer as the attributes say, whatever was done to it before."""
    n = layer.ndim
    still = {"affine": np.eye(n + 1), "rotate": np.eye(n), "shear": np.zeros(n * (n - 1) // 2)}
    for name, value in {**still, "scale": np.ones(n), "translate": np.zeros(n), **attributes}.items():
        if name in ("units", "axis_labels"):
            continue
        value = getattr(value, "affine_matrix", value)
        if not np.array_equal(getattr(getattr(layer, name), "affine_matrix", getattr(layer, name)), value):
            setattr(layer, name, value)  # each of them moves the sliders and all else: 20 ms


def add_quietly(viewer: ViewerModel, layer: Layer) -> None:
    """Add a layer above images and labels, below marks; what the user has selected stays selected."""
    selected, active = set(viewer.layers.selection), viewer.layers.selection.active
    below = [i for i, other in enumerate(viewer.layers) if isinstance(other, Image | Labels)]
    viewer.layers.insert(below[-1] + 1 if below else 0, layer)
    if selected:
        viewer.layers.selection = selected
        viewer.layers.selection.active = active
