"""What a box in one slice stands for there: seen as an image, of which `basin` knows more shapes than the ellipse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.plane.model import NOTHING, Plane
from promptile.models.basin.solid.workgrid import Field
from promptile.models.protocols import View, WindowPrompt


def section(view: View, box: NDArray[np.float64], axis: int) -> Field:
    """Distance from the object's heart in the slice of a box that is flat along `axis`.

    ::

        2     1    0.5    0    0.5    1     2
              |--------section--------|

    Returns
    -------
    ndarray of float32, the view's shape without `axis`
        0 at the deepest sample, 1 on the outline; outside it grows by the radius of a disc of the same area. If there
        is nothing in the slice, the same for the ellipse in the box.
    """
    at = int(np.clip(np.rint(box[:, axis].mean()), 0, view.shape[axis] - 1))
    spacing = tuple(s for a, s in enumerate(view.spacing) if a != axis)
    slice_ = View(view.samples.take(at, axis + 1), np.asarray(view.valid.take(at, axis)), spacing)
    flat = np.delete(box, axis, axis=1)
    model = Plane()
    (embedding,) = model.embed([slice_])
    inside = model.predict(embedding, WindowPrompt(NOTHING.points, NOTHING.labels, box=flat)).logits[0] > 0
    if not inside.any():
        return _ellipse(inside.shape, flat)
    half = min(spacing) / 2  # the outline runs between the samples
    deep = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)[1:-1, 1:-1] - half
    away = ndimage.distance_transform_edt(~inside, sampling=spacing) - half
    size = np.sqrt(np.count_nonzero(inside) * np.prod(spacing) / np.pi)
    radius: Field = np.where(inside, 1 - deep / deep.max(), 1 + away / size).astype(np.float32)
    return radius


def _ellipse(shape: tuple[int, ...], box: NDArray[np.float64]) -> Field:
    centre, radii = box.mean(axis=0), np.maximum((box[1] - box[0]) / 2, 0.5)
    y, x = (((np.arange(n) - c) / r) ** 2 for n, c, r in zip(shape, centre, radii, strict=True))
    radius: Field = np.sqrt(y[:, None] + x).astype(np.float32)
    return radius
