"""Objects that no view of a level shows whole: what each view shows of them, joined where both looked.

::

    view a  [ . . . . ooooo|oo]
    view b              [oo|oooooo . . . ]      in the strip that both saw, both say the same
    object          oooooooooooooo
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import Boxes, Numbers, alike, areas, common, hull, over_union
from promptile.engine.detect.families import families
from promptile.engine.detect.sightings import Sightings

_AGREE = 0.5
"""What both views saw of an object shares at least so much, intersection over union."""

_ALONE = 0.5
"""A box that is cut is kept if at least so much of it was seen by its own view only."""


@dataclass(frozen=True, eq=False)
class Joined:
    """Boxes put together.

    Parameters
    ----------
    boxes : ndarray of float, shape (m, 2, 2)
    scores : ndarray of float, shape (m,)
    rows : ndarray of int, shape (m,)
        The sighting it is; -1 where there are several.
    views : list of set of int
        In which views they were seen.
    complete : ndarray of bool, shape (m,)
        Whether an end was seen at each side.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    rows: Numbers
    views: list[set[int]]
    complete: NDArray[np.bool_]


def join_halves(told: Sightings, rows: Numbers) -> Joined:
    """Objects that are put together from boxes of one level that are cut by their views.

    One whose ends were not all seen is kept as far as its views saw it, but not if another view was there to see it
    better and did not, nor if it is as large as its view.
    """
    boxes, views, frames = told.boxes[rows], told.views[rows], told.frames[told.views[rows]]

    def in_strip(i: Numbers, j: Numbers) -> NDArray[np.float64]:
        """What two boxes share of the strip that both of their views saw."""
        strips = common(frames[i], frames[j])
        mine, yours = common(boxes[i], strips), common(boxes[j], strips)
        return np.where((areas(mine) > 0) & (areas(yours) > 0), over_union(mine, yours), 0)

    i, j, share = alike(boxes, boxes, _AGREE, possible=lambda i, j: (i < j) & (views[i] != views[j]), share=in_strip)

    def fits(a: list[int], b: list[int]) -> bool:
        """Whether each view would see just this of both together."""
        members = np.array([*a, *b])
        whole = np.broadcast_to(hull(boxes[members]), (len(members), 2, 2))
        return bool((over_union(boxes[members], common(whole, frames[members])) >= _AGREE).all())

    found = families(views, (i, j), share, fits)
    ended = np.array([_complete(told, rows[members]) for members in found], bool)
    kept = [k for k, members in enumerate(found) if ended[k] or _alone(told, rows[members])]
    return Joined(
        np.array([hull(boxes[found[k]]) for k in kept]).reshape(-1, 2, 2),
        np.array([told.scores[rows[found[k]]].max() for k in kept], float),
        np.array([rows[found[k][0]] if len(found[k]) == 1 else -1 for k in kept], np.int64),
        [set(views[found[k]].tolist()) for k in kept],
        ended[kept],
    )


def _complete(told: Sightings, rows: Numbers) -> bool:
    """Whether each side of the hull is one at which a view saw the end."""
    boxes, cut = told.boxes[rows], told.cut[rows]
    near = told.samples[told.views[rows]].max(axis=0)
    ends = (np.abs(boxes - hull(boxes)) <= near) & ~cut
    return bool(ends.any(axis=0).all())


def _alone(told: Sightings, rows: Numbers) -> bool:
    """Whether it has a box that lies mostly where its level has no other view, and is not as large as its view."""
    if told.filling[rows].any():
        return False
    others = told.frames[(told.levels == told.levels[told.views[rows[0]]])]
    for row in rows:
        mine = told.frames[told.views[row]]
        shared = areas(common(others, told.boxes[row]))[~(others == mine).all(axis=(1, 2))]
        if shared.max(initial=0) < _ALONE * areas(told.boxes[row]):
            return True
    return False
