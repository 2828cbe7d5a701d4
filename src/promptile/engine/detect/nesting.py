"""Boxes that repeat or hold one another: what is kept of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import Boxes, Numbers, areas, hull, meeting, over_smaller, over_union
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
    i, j = meeting(told.boxes, told.boxes)
    same = (told.views[i] == told.views[j]) & (i != j)
    i, j = i[same], j[same]
    same = over_union(told.boxes[i], told.boxes[j]) >= _REPEATED
    order = np.argsort(-told.scores, kind="stable")
    return _beaten(order, i[same], j[same])


def choose(found: Objects, told: Sightings) -> Numbers:
    """Which objects are kept, in order.

    Left out are boxes of the whole image, boxes around groups of others, and of boxes that hold one another the
    ones with lower scores; but not if a view told them apart: then one object lies within the bounds of another.
    """
    lost = _around_groups(found)
    if told.filling.any():
        image = hull(told.frames)
        lost |= areas(found.boxes) >= _FILLING * areas(image)
    i, j = meeting(found.boxes, found.boxes)
    apart = np.array([a != b and found.views[a].isdisjoint(found.views[b]) for a, b in zip(i, j, strict=True)], bool)
    apart &= ~lost[i] & ~lost[j]
    i, j = i[apart], j[apart]
    inside = over_smaller(found.boxes[i], found.boxes[j]) >= _INSIDE
    order = np.argsort(-found.scores, kind="stable")
    return np.flatnonzero(~lost & ~_beaten(order, i[inside], j[inside]))


def _around_groups(found: Objects) -> NDArray[np.bool_]:
    """``(m,)``: which boxes are just the hull of two or more others, that are as sure on the average."""
    lost = np.zeros(len(found.scores), bool)
    i, j = meeting(found.boxes, found.boxes)
    size = areas(found.boxes)
    inside = (over_smaller(found.boxes[i], found.boxes[j]) >= _INSIDE) & (size[j] < size[i] / 2)
    i, j = i[inside], j[inside]
    holders, first = np.unique(i, return_index=True)
    groups = dict(zip(holders.tolist(), np.split(j, first[1:]), strict=True)) if len(holders) else {}
    for holder in sorted(groups, key=lambda n: (size[n], n)):
        members = groups[holder][~lost[groups[holder]]]
        if len(members) < 2 or found.scores[members].mean() < found.scores[holder]:
            continue
        around = hull(found.boxes[members])
        lost[holder] = over_union(around[None], found.boxes[holder][None])[0] >= _GROUP
    return lost


def _beaten(order: Numbers, i: Numbers, j: Numbers) -> NDArray[np.bool_]:
    """Which ones fall if those that come first in `order` beat their rivals, unless they fell before."""
    rivals: dict[int, list[int]] = {}
    for a, b in zip(i.tolist(), j.tolist(), strict=True):
        rivals.setdefault(a, []).append(b)
    fallen = np.zeros(len(order), bool)
    decided = np.zeros(len(order), bool)
    for n in order.tolist():
        if n in rivals and not fallen[n]:
            fallen[[m for m in rivals[n] if not decided[m]]] = True
        decided[n] = True
    return fallen
