"""Many boxes at a time: how much they share.

Boxes are ``(n, 2, 2)``: low and high corner on sample edges of level 0, ``(y, x)`` of one image or of one plane of a
volume.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
Numbers = NDArray[np.int64]


def areas(boxes: Boxes) -> NDArray[np.float64]:
    """``(n,)``: 0 where a box is turned inside out."""
    sides: NDArray[np.float64] = np.clip(boxes[..., 1, :] - boxes[..., 0, :], 0, None).prod(axis=-1)
    return sides


def common(a: Boxes, b: Boxes) -> Boxes:
    """What each box of `a` shares with its counterpart in `b`; inside out where they do not meet."""
    return np.stack([np.maximum(a[..., 0, :], b[..., 0, :]), np.minimum(a[..., 1, :], b[..., 1, :])], axis=-2)


def over_union(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """``(n,)``: intersection over union of each box with its counterpart."""
    shared = areas(common(a, b))
    return _share(shared, areas(a) + areas(b) - shared)


def over_smaller(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """``(n,)``: intersection over the smaller of the two."""
    return _share(areas(common(a, b)), np.minimum(areas(a), areas(b)))


def meeting(a: Boxes, b: Boxes) -> tuple[Numbers, Numbers]:
    """Which boxes of `a` share an area with which ones of `b`: two rows of numbers, sorted."""
    tree = shapely.STRtree(_shapes(b))
    i, j = tree.query(_shapes(a))
    sharing = areas(common(a[i], b[j])) > 0
    i, j = i[sharing], j[sharing]
    order = np.lexsort((j, i))
    return i[order].astype(np.int64), j[order].astype(np.int64)


def hull(boxes: Boxes) -> Boxes:
    """``(2, 2)``: the smallest box around all of them."""
    return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def one_to_one(pairs: Iterable[tuple[int, int]], quality: NDArray[np.float64]) -> list[int]:
    """Which pairs are made if the best ones are made first and nobody is in two of them; the first of equals."""
    taken: set[tuple[str, int]] = set()
    told = list(pairs)
    made = []
    for k in np.argsort(-quality, kind="stable").tolist():
        left, right = ("left", told[k][0]), ("right", told[k][1])
        if left not in taken and right not in taken:
            taken |= {left, right}
            made.append(k)
    return made


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _shapes(boxes: Boxes) -> NDArray[np.object_]:
    (y0, x0), (y1, x1) = np.moveaxis(boxes, 0, -1)
    shapes: NDArray[np.object_] = shapely.box(x0, y0, x1, y1)
    return shapes
