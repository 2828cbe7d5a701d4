"""From the boxes of all views to one box per object, for one phrase in one plane.

::

    coarse to fine, level by level:
        whole boxes of the level       the same object in several views, where they agree
        against what is known so far   the same object at two levels: the finer box counts
        boxes cut by their view        explained by what is known: "of that object, this view would see just this"
        the others of them             joined with their other halves (`halves`)
    at the end:
        boxes that hold one another (`nesting`)

No step joins what one view tells apart, so neighbours are never fused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import Boxes, Numbers, common, meeting, one_to_one, over_smaller, over_union
from promptile.engine.detect.families import best_of, families
from promptile.engine.detect.halves import join_halves
from promptile.engine.detect.nesting import choose, repeated
from promptile.engine.detect.sightings import Sightings

AGREE = 0.5
"""Two boxes of one object share at least so much, intersection over union: above it, a partner is the only one."""


@dataclass(frozen=True, eq=False)
class Merged:
    """One box per object.

    Parameters
    ----------
    boxes : ndarray of float, shape (m, 2, 2)
    scores : ndarray of float, shape (m,)
    rows : ndarray of int, shape (m,)
        The sighting whose box it is; -1 where it was put together from several.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    rows: Numbers


@dataclass(eq=False)
class Known:
    """The objects known so far, and which views saw them, whole or in part."""

    boxes: Boxes = field(default_factory=lambda: np.zeros((0, 2, 2)))
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rows: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    views: list[set[int]] = field(default_factory=list)

    def add(self, boxes: Boxes, scores: NDArray[np.float64], rows: Numbers, views: list[set[int]]) -> None:
        self.boxes = np.concatenate([self.boxes, boxes])
        self.scores = np.concatenate([self.scores, scores])
        self.rows = np.concatenate([self.rows, rows])
        self.views += views


def merge(told: Sightings) -> Merged:
    """One box per object."""
    known = Known()
    rows = np.flatnonzero(~repeated(told))
    for level in np.unique(told.levels)[::-1]:
        here = rows[told.levels[told.views[rows]] == level]
        if len(here):
            _add_level(known, told, here)
    kept = choose(known, told)
    return Merged(known.boxes[kept], known.scores[kept], known.rows[kept])


def _add_level(known: Known, told: Sightings, rows: Numbers) -> None:
    """Learn what one level shows."""
    cut, filling = told.cut[rows].any(axis=(1, 2)), told.filling[rows]
    _add_whole(known, told, rows[~cut & ~filling])
    left = _unexplained(known, told, rows[cut | filling])
    joined = join_halves(told, left)
    if not len(joined.scores):
        return
    i, j = meeting(joined.boxes, known.boxes)
    share = np.where(joined.complete[i], over_union(joined.boxes[i], known.boxes[j]), 0)
    share = np.maximum(share, np.where(joined.complete[i], 0, over_smaller(joined.boxes[i], known.boxes[j])))
    new = np.setdiff1d(np.arange(len(joined.scores)), i[share >= AGREE])
    nowhere = np.full(len(new), -1)
    rows_of = np.where(joined.rows[new] < 0, nowhere, joined.rows[new])
    known.add(joined.boxes[new], joined.scores[new], rows_of, [joined.views[n] for n in new])


def _add_whole(known: Known, told: Sightings, rows: Numbers) -> None:
    """Learn of objects that views of a level see whole; the best score of several views gives the box."""
    boxes, views, scores = told.boxes[rows], told.views[rows], told.scores[rows]
    i, j = meeting(boxes, boxes)
    possible = (i < j) & (views[i] != views[j])
    i, j = i[possible], j[possible]
    share = over_union(boxes[i], boxes[j])
    alike = share >= AGREE
    found = families(views, (i[alike], j[alike]), share[alike])
    best = np.array([best_of(members, scores) for members in found], np.int64)
    seen = [set(views[members].tolist()) for members in found]
    i, j = meeting(boxes[best], known.boxes)
    share = over_union(boxes[best][i], known.boxes[j])
    alike = share >= AGREE
    i, j = i[alike], j[alike]
    again = one_to_one(zip(i.tolist(), j.tolist(), strict=True), share[alike])
    for k in again:
        known.boxes[j[k]], known.rows[j[k]] = boxes[best[i[k]]], rows[best[i[k]]]
        known.scores[j[k]] = max(known.scores[j[k]], scores[best[i[k]]])
        known.views[j[k]] |= seen[i[k]]
    new = np.setdiff1d(np.arange(len(best)), i[again])
    known.add(boxes[best[new]], scores[best[new]], rows[best[new]], [seen[n] for n in new])


def _unexplained(known: Known, told: Sightings, rows: Numbers) -> Numbers:
    """Boxes, cut by their view, that are not what the view would see of an object that is known."""
    boxes, views = told.boxes[rows], told.views[rows]
    i, j = meeting(boxes, known.boxes)
    other = np.array([views[a] not in known.views[b] for a, b in zip(i, j, strict=True)], bool)
    i, j = i[other], j[other]
    share = over_union(boxes[i], common(known.boxes[j], told.frames[views[i]]))
    alike = share >= AGREE
    i, j = i[alike], j[alike]
    once = len(told.levels)
    pairs = zip(i.tolist(), (j * once + views[i]).tolist(), strict=True)
    explained = one_to_one(pairs, share[alike])
    for k in explained:
        known.views[j[k]].add(int(views[i[k]]))
    return np.delete(rows, i[explained])
