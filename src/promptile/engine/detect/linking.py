"""Boxes in the slices of a volume, linked to objects: one box per slice at most, near in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import Boxes, Numbers, hull, meeting, over_union
from promptile.engine.detect.families import families

_GAP_MM = 5.0
"""An object may be overlooked for so long; over one slice in any case."""

_AGREE = 0.5
"""What the boxes of neighbouring slices share at least, intersection over union."""


@dataclass(frozen=True)
class Slicing:
    """How a volume was cut into planes.

    Parameters
    ----------
    axis : int
        Along which the slices lie.
    spacing : float
        From one slice to the next, in millimetres.
    """

    axis: int
    spacing: float


def link(boxes: Boxes, planes: Numbers, phrases: Numbers, spacing: float) -> list[list[int]]:
    """Which boxes are the same object in several slices: their numbers, slice by slice.

    The nearest slices and the best overlaps are linked first, and no slice is in an object twice: what one slice
    shows apart stays apart.
    """
    farthest = max(2, int(_GAP_MM // spacing) + 1)
    rows = {plane: np.flatnonzero(planes == plane) for plane in np.unique(planes).tolist()}
    pairs: list[tuple[Numbers, Numbers, NDArray[np.float64]]] = []
    for plane, mine in rows.items():
        for step in range(1, farthest + 1):
            if (yours := rows.get(plane + step)) is None:
                continue
            i, j = meeting(boxes[mine], boxes[yours])
            i, j = mine[i], yours[j]
            share = np.where(phrases[i] == phrases[j], over_union(boxes[i], boxes[j]), 0)
            alike = share >= _AGREE
            pairs.append((i[alike], j[alike], share[alike] - step))
    if not pairs:
        return [[n] for n in range(len(boxes))]
    i, j, quality = (np.concatenate(column) for column in zip(*pairs, strict=True))
    found = families(planes, (i, j), quality)
    return [sorted(members, key=lambda n: planes[n]) for members in found]


def solid(boxes: Boxes, planes: Numbers, members: Sequence[int], axis: int) -> NDArray[np.float64]:
    """``(2, 3)``: the box around an object in all of its slices."""
    around = hull(boxes[members])
    return _thick(around, float(planes[members].min()) - 0.5, float(planes[members].max()) + 0.5, axis)


def middle(boxes: Boxes, planes: Numbers, members: Sequence[int], axis: int) -> NDArray[np.float64]:
    """``(2, 3)``: its box in the slice nearest to its middle, one sample thick."""
    centre = (planes[members[0]] + planes[members[-1]]) / 2
    nearest = min(members, key=lambda n: (abs(planes[n] - centre), planes[n]))
    return _thick(boxes[nearest], planes[nearest] - 0.5, planes[nearest] + 0.5, axis)


def _thick(box: Boxes, low: float, high: float, axis: int) -> NDArray[np.float64]:
    return np.insert(box, axis, [low, high], axis=1)
