"""Moving the view to a part of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from promptile._napari.images import Shown
from promptile.grid import Window

_AROUND = 2.0
"""How much more of the image is seen than what is flown to."""

_LEAST = 48
"""Samples that are seen around something tiny."""


def fly_to(viewer: Any, shown: Shown, window: Window) -> None:
    """Show a window of an image in the middle of the view, in a volume its middle slice.

    What is in view at a sensible size is not enlarged any more than that: only as far as it fits.
    """
    more = np.maximum(_LEAST - np.array(window.shape), 0) / 2
    ends = zip(window.start - more, np.array(window.stop) - 1 + more, strict=True)
    corners = np.array(np.meshgrid(*ends)).reshape(window.ndim, -1)
    world = shown.to_world(corners.T)
    low, high = world.min(axis=0), world.max(axis=0)
    middle = (low + high) / 2
    offset = viewer.dims.ndim - world.shape[1]
    for axis in range(world.shape[1]):
        if axis + offset not in viewer.dims.displayed:
            viewer.dims.set_point(axis + offset, middle[axis])
    seen = [axis - offset for axis in viewer.dims.displayed if axis >= offset]
    camera = viewer.scene.camera
    camera.center = tuple(np.concatenate([np.zeros(3 - len(seen)), middle[seen]]))
    side = max(float(np.max((high - low)[seen[-2:]])), 1e-9) * _AROUND
    fits = min(viewer.canvas.viewbox_size(viewer.layers)) / side
    if not fits / 8 < camera.zoom < fits:
        camera.zoom = fits
