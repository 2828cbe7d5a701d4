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

from promptile.engine.detect.boxes import Boxes, Numbers, alike, common, one_to_one, over_smaller, over_union
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
    partial = told.cut[rows].any(axis=(1, 2)) | told.filling[rows]
    _add_whole(known, told, rows[~partial])
    joined = join_halves(told, _unexplained(known, told, rows[partial]))

    def share(i: Numbers, j: Numbers) -> NDArray[np.float64]:
        a, b = joined.boxes[i], known.boxes[j]
        return np.where(joined.complete[i], over_union(a, b), over_smaller(a, b))  # a rest is not told from a whole

    seen, _, _ = alike(joined.boxes, known.boxes, AGREE, share=share)
    new = np.setdiff1d(np.arange(len(joined.scores)), seen)
    known.add(joined.boxes[new], joined.scores[new], joined.rows[new], [joined.views[n] for n in new])


def _add_whole(known: Known, told: Sightings, rows: Numbers) -> None:
    """Learn of objects that views of a level see whole; those that are known get the finer box."""
    found = _seen_again(told, rows)
    best = np.array([best_of(members, told.scores) for members in found], np.int64)
    seen = [set(told.views[members].tolist()) for members in found]
    i, j, share = alike(told.boxes[best], known.boxes, AGREE)
    again = one_to_one(zip(i.tolist(), j.tolist(), strict=True), share)
    for mine, its in zip(i[again].tolist(), j[again].tolist(), strict=True):
        known.boxes[its], known.rows[its] = told.boxes[best[mine]], best[mine]
        known.scores[its] = max(known.scores[its], told.scores[best[mine]])
        known.views[its] |= seen[mine]
    new = np.setdiff1d(np.arange(len(best)), i[again])
    known.add(told.boxes[best[new]], told.scores[best[new]], best[new], [seen[n] for n in new])


def _seen_again(told: Sightings, rows: Numbers) -> list[list[int]]:
    """Boxes of a level that are the same object in several views, by their numbers."""
    boxes, views = told.boxes[rows], told.views[rows]
    i, j, share = alike(boxes, boxes, AGREE, possible=lambda i, j: (i < j) & (views[i] != views[j]))
    found = families(views, (i, j), share)
    return [rows[members].tolist() for members in found]


def _unexplained(known: Known, told: Sightings, rows: Numbers) -> Numbers:
    """Boxes, cut by their view, that are not what the view would see of an object that is known."""
    boxes, views = told.boxes[rows], told.views[rows]

    def as_seen(i: Numbers, j: Numbers) -> NDArray[np.float64]:
        return over_union(boxes[i], common(known.boxes[j], told.frames[views[i]]))

    i, j, share = alike(boxes, known.boxes, AGREE, share=as_seen)
    other = np.array([views[a] not in known.views[b] for a, b in zip(i, j, strict=True)], bool)
    i, j = i[other], j[other]
    once = len(told.levels)
    pairs = zip(i.tolist(), (j * once + views[i]).tolist(), strict=True)
    explained = one_to_one(pairs, share[other])
    for k in explained:
        known.views[j[k]].add(int(views[i[k]]))
    return np.delete(rows, i[explained])
