"""A simulated user: draws a box, clicks into an object, and corrects the largest mistake of an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def box(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``(2, ndim)``: bounds of an object, on sample edges."""
    spans = ndimage.find_objects(truth.astype(np.uint8))[0]
    return np.array([[s.start - 0.5 for s in spans], [s.stop - 0.5 for s in spans]])


def box_in_slice(truth: NDArray[np.bool_], axis: int = 0) -> NDArray[np.float64]:
    """``(2, 3)``: bounds of an object in the slice in its middle, or where most of it is if that is empty."""
    whole = box(truth)
    middle = int(np.floor(whole[:, axis].mean() + 0.5))
    others = tuple(a for a in range(3) if a != axis)
    if not truth.take(middle, axis).any():
        middle = int(np.argmax(truth.sum(axis=others)))
    flat = box(truth.take(middle, axis))
    return np.insert(flat, axis, [middle - 0.5, middle + 0.5], axis=1)


def innermost(region: NDArray[np.bool_], spacing: Sequence[float] | None = None) -> NDArray[np.float64]:
    """``(ndim,)``: the sample of a region that lies farthest from its outside."""
    spans = ndimage.find_objects(region.astype(np.uint8))[0]
    depth = ndimage.distance_transform_edt(np.pad(region[spans], 1), spacing)
    found = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return np.array([f - 1.0 + s.start for f, s in zip(found, spans, strict=True)])


def correction(
    truth: NDArray[np.bool_], answer: NDArray[np.bool_], spacing: Sequence[float] | None = None
) -> tuple[NDArray[np.float64], bool] | None:
    """A click in the middle of the largest connected mistake and its label; None if there is no mistake."""
    best, size = None, 0
    for wrong, label in ((truth & ~answer, True), (answer & ~truth, False)):
        pieces, count = ndimage.label(wrong)
        if count == 0:
            continue
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() > size:
            size = int(sizes.max())
            best = (innermost(pieces == int(np.argmax(sizes)) + 1, spacing), label)
    return best


def jittered(
    point: NDArray[np.float64], radius: float, shape: Sequence[int], random: np.random.Generator, axes: Sequence[int]
) -> NDArray[np.float64]:
    """A click that misses its place by up to `radius` samples along `axes`, but not the image."""
    if not radius:
        return point
    offset = random.normal(size=len(axes))
    offset *= radius * random.random() ** (1 / len(axes)) / np.linalg.norm(offset)
    moved = point.copy()
    moved[list(axes)] += offset
    return np.clip(np.rint(moved), 0, np.subtract(shape, 1))
