"""Boxes that repeat or hold one another: what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import TOGETHER, Boxes, Laid, Numbers, alike, areas, hull, over_smaller, over_union
from promptile.engine.detect.sightings import Sightings

_REPEATED = 0.7
"""Boxes of one view that share so much, intersection over union, say the same thing twice."""

_INSIDE = 0.7
"""A box of which so much lies in a larger one is inside it."""

_GROUP = 0.8
"""A box that shares so much with the hull of the boxes inside it is the box of their group."""

_FILLING = 0.9
"""A box that covers so much of the image is about the image."""


class Objects(Protocol):
    """Objects with a box, a score, and the views that saw them."""

    boxes: Boxes
    scores: NDArray[np.float64]
    views: list[set[int]]


def repeated(told: Sightings) -> NDArray[np.bool_]:
    """``(n,)``: which boxes repeat one of the same view with a higher score, or an earlier one with the same."""
    boxes = told.boxes

    def rivals(i: Numbers, j: Numbers) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = told.views[i] == told.views[j]
        same[same] = over_union(boxes[i[same]], boxes[j[same]]) >= _REPEATED
        return same

    return _beaten(boxes, told.scores, rivals)


def choose(found: Objects, told: Sightings) -> Numbers:
    """Which objects are kept, in order.

    Left out are boxes of the whole image, boxes around groups of others, and of boxes that hold one another the
    ones with lower scores; but not if a view told them apart: then one object lies within the bounds of another.
    """
    lost = _around_groups(found)
    if told.filling.any():
        image = hull(told.frames)
        lost |= areas(found.boxes) >= _FILLING * areas(image)
    left = np.flatnonzero(~lost)
    boxes, views = found.boxes[left], [found.views[n] for n in left]

    def rivals(i: Numbers, j: Numbers) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = over_smaller(boxes[i], boxes[j]) >= _INSIDE
        pairs = zip(i[inside].tolist(), j[inside].tolist(), strict=True)
        inside[inside] = [views[a].isdisjoint(views[b]) for a, b in pairs]
        return inside

    return left[~_beaten(boxes, found.scores[left], rivals)]


def _around_groups(found: Objects) -> NDArray[np.bool_]:
    """``(m,)``: which boxes are just the hull of two or more others, that are as sure on the average."""
    lost = np.zeros(len(found.scores), bool)
    boxes, size = found.boxes, areas(found.boxes)
    i, j, _ = alike(
        boxes,
        boxes,
        _INSIDE,
        possible=lambda i, j: size[j] < size[i] / 2,
        share=lambda i, j: over_smaller(boxes[i], boxes[j]),
    )
    holders, first = np.unique(i, return_index=True)
    groups = dict(zip(holders.tolist(), np.split(j, first[1:]), strict=True)) if len(holders) else {}
    for holder in sorted(groups, key=lambda n: (size[n], n)):
        members = groups[holder][~lost[groups[holder]]]
        if len(members) < 2 or found.scores[members].mean() < found.scores[holder]:
            continue
        around = hull(found.boxes[members])
        lost[holder] = over_union(around[None], found.boxes[holder][None])[0] >= _GROUP
    return lost


def _beaten(
    boxes: Boxes, scores: NDArray[np.float64], rivals: Callable[[Numbers, Numbers], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """``(n,)``: which boxes fall if the surest come first and beat their `rivals`, unless they fell before.

    Who fell is asked for no rivals, so it is cheap to repeat a box however often.
    """
    order = np.argsort(-scores, kind="stable")
    place = np.argsort(order)
    laid = Laid(boxes)
    fallen = np.zeros(len(order), bool)
    for first in range(0, len(order), TOGETHER):
        some = order[first : first + TOGETHER]
        some = some[~fallen[some]]
        i, j = laid.near(boxes[some])
        later = place[some[i]] < place[j]
        i, j = i[later], j[later]
        those = rivals(some[i], j)
        i, j = i[those], j[those]
        cuts = np.searchsorted(i, np.arange(len(some) + 1)).tolist()
        for n, start, stop in zip(some.tolist(), cuts, cuts[1:], strict=False):
            if not fallen[n]:
                fallen[j[start:stop]] = True
    return fallen
