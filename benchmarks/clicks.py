"""A simulated user: draws a box, clicks into an object, and corrects the largest mistake of an answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def box(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``(2, ndim)``: bounds of an object, on sample edges."""
    spans = ndimage.find_objects(truth.astype(np.uint8))[0]
    return np.array([[s.start - 0.5 for s in spans], [s.stop - 0.5 for s in spans]])


def innermost(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``(ndim,)``: the sample of a region that lies farthest from its outside."""
    spans = ndimage.find_objects(region.astype(np.uint8))[0]
    depth = ndimage.distance_transform_edt(np.pad(region[spans], 1))
    found = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return np.array([f - 1.0 + s.start for f, s in zip(found, spans, strict=True)])


def correction(truth: NDArray[np.bool_], answer: NDArray[np.bool_]) -> tuple[NDArray[np.float64], bool] | None:
    """A click in the middle of the largest connected mistake and its label; None if there is no mistake."""
    best, size = None, 0
    for wrong, label in ((truth & ~answer, True), (answer & ~truth, False)):
        pieces, count = ndimage.label(wrong)
        if count == 0:
            continue
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() > size:
            size = int(sizes.max())
            best = (innermost(pieces == int(np.argmax(sizes)) + 1), label)
    return best
