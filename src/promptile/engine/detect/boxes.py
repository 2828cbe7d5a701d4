"""Many boxes at a time: how much they share.

Boxes are ``(n, 2, 2)``: low and high corner on sample edges of level 0, ``(y, x)`` of one image or of one plane of a
volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import shapely
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
Numbers = NDArray[np.int64]
TOGETHER = 256
"""Boxes whose pairs are looked at together: where all lie upon one another, each has as many as there are others."""


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
    i, j, _ = alike(a, b, np.finfo(float).tiny, share=lambda i, j: areas(common(a[i], b[j])))
    return i, j


def alike(
    a: Boxes,
    b: Boxes,
    least: float,
    *,
    possible: Callable[[Numbers, Numbers], NDArray[np.bool_]] | None = None,
    share: Callable[[Numbers, Numbers], NDArray[np.float64]] | None = None,
) -> tuple[Numbers, Numbers, NDArray[np.float64]]:
    """Which boxes of `a` share at least so much with which ones of `b`: their numbers, sorted, and how much it is.

    Parameters
    ----------
    a, b : ndarray of float, shape (n, 2, 2)
    least : float
        More than 0.
    possible : callable, optional
        Which pairs, by their numbers, count at all.
    share : callable, optional
        How much pairs share, by their numbers; intersection over union by default.
    """
    laid = Laid(b)
    measure = share or (lambda i, j: over_union(a[i], b[j]))
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for first in range(0, len(a), TOGETHER):
        i, j = laid.near(a[first : first + TOGETHER])
        i += first
        if possible is not None:
            counting = possible(i, j)
            i, j = i[counting], j[counting]
        shares = measure(i, j)
        enough = shares >= least
        parts.append((i[enough], j[enough], shares[enough]))
    i, j, shares = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], shares[order]


class Laid:
    """Boxes laid out, so that those near others are found without a look at all of them.

    Parameters
    ----------
    boxes : ndarray of float, shape (n, 2, 2)
    """

    def __init__(self, boxes: Boxes) -> None:
        self._tree = shapely.STRtree(_shapes(boxes))

    def near(self, boxes: Boxes) -> tuple[Numbers, Numbers]:
        """Which of some `boxes` meet, or touch, which of these: two rows of numbers, the first one sorted."""
        i, j = self._tree.query(_shapes(boxes))
        return i.astype(np.int64), j.astype(np.int64)


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
