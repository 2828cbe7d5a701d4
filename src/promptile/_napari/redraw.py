"""Drawing a part of a Labels layer anew.

`Layer.refresh` slices and colours all that is shown: for labels of 4096 × 4096 that takes eight times as long as
reading and drawing 200 × 200 of them, for 8192 × 8192 nineteen times. napari has a public event for a part,
`labels_update`, which its own brush uses; but what it keeps of the slice is private. These names are used here and
nowhere else, and where they are not what they were, the whole layer is refreshed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels

from promptile.grid import Window


def redraw(layer: Labels, window: Window) -> None:
    """Show what the data of a single-scale layer hold in a window now."""
    if not layer.visible:
        return  # a layer is sliced anew when it is shown again
    try:
        _redraw_part(layer, window)
    except (AttributeError, TypeError, IndexError, ValueError):  # another napari, or a slice of something else
        layer.refresh(extent=False)


def _redraw_part(layer: Any, window: Window) -> None:
    shown = layer._slice
    if not layer.loaded or shown.empty or shown.image.raw.size == 1:
        layer.refresh(extent=False)
        return
    axes = shown.slice_input.displayed
    point = np.round(layer.world_to_data(shown.slice_input.world_slice.point)).astype(int)
    place = window.clip(layer.data.shape)
    cuts: list[slice | int] = list(place.slices)
    for axis in shown.slice_input.not_displayed:
        if not place.start[axis] <= point[axis] < place.stop[axis]:
            return  # in another slice
        cuts[axis] = int(point[axis])
    if place.empty:
        return
    labels = np.asarray(layer.data[tuple(cuts)]).transpose(np.argsort(np.argsort(axes)))
    shape = shown.image.raw.shape
    part = Window(tuple(place.start[a] for a in axes), tuple(place.shape[a] for a in axes))
    shown.image.raw[part.slices] = labels
    part = part.grow(max(layer.contour, 0)).clip(shape)  # outlines are drawn from what lies around
    colours = layer._raw_to_displayed(shown.image.raw, part.slices)
    shown.image.view[part.slices] = colours
    layer.events.labels_update(data=colours, offset=list(part.start))
