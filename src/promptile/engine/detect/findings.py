"""All that a detector said about an image, tile by tile, and what becomes of it at any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import Boxes, Numbers
from promptile.engine.detect.linking import Slicing, link, middle, solid
from promptile.engine.detect.merging import merge
from promptile.engine.detect.sightings import Sightings
from promptile.engine.words import categories_of, sense_of
from promptile.errors import UsageError

_ROUNDING = 1e-3
"""What arithmetic with levels may shift an edge by, in samples."""


@dataclass(frozen=True, eq=False)
class Looks:
    """The views that a detector was shown, as a table.

    Parameters
    ----------
    levels : ndarray of int, shape (v,)
    planes : ndarray of int, shape (v,)
        Which slice of a volume; 0 in images.
    frames : ndarray of float, shape (v, 2, 2)
        Where each lies, on sample edges of level 0.
    inner : ndarray of bool, shape (v, 2, 2)
        Which sides of it are not the image's border.
    samples : ndarray of float, shape (v, 2)
        How many samples of level 0 one of its samples covers, along each axis.
    """

    levels: Numbers
    planes: Numbers
    frames: Boxes
    inner: NDArray[np.bool_]
    samples: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Found:
    """Objects that were found, in the order of their places: by plane, row and column.

    Parameters
    ----------
    boxes : ndarray of float, shape (m, 2, 2)
        On sample edges of level 0.
    planes : ndarray of int, shape (m,)
        Which slice of a volume; 0 in images.
    scores : ndarray of float, shape (m,)
    phrases : ndarray of int, shape (m,)
        Which of the phrases of the `Findings`.
    rows : ndarray of int, shape (m,)
        The detection whose box it is; -1 where a box was put together from several.
    """

    boxes: Boxes
    planes: Numbers
    scores: NDArray[np.float64]
    phrases: Numbers
    rows: Numbers

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects that were found in an image or volume, in the order of their places.

    Parameters
    ----------
    boxes : ndarray of float, shape (m, 2, ndim)
        On sample edges of level 0.
    starts : ndarray of float, shape (m, 2, ndim)
        What a model for images is to begin with: the same, but in volumes the box in the middle slice.
    scores : ndarray of float, shape (m,)
        The detector's own.
    phrases : sequence of str
        What each of them is.
    rows : ndarray of int, shape (m,)
        The detection whose box it is; -1 where a box was put together from several.
    """

    boxes: NDArray[np.float64]
    starts: NDArray[np.float64]
    scores: NDArray[np.float64]
    phrases: Sequence[str]
    rows: Numbers

    def of(self, numbers: Sequence[int] | NDArray[np.integer[Any]]) -> Objects:
        """Some of them."""
        some = np.asarray(numbers, np.int64)
        phrases = [self.phrases[n] for n in some]
        return Objects(self.boxes[some], self.starts[some], self.scores[some], phrases, self.rows[some])

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a detector said, down to a low floor: thresholds are chosen afterwards.

    Parameters
    ----------
    phrases : tuple of str
    default : float
        The threshold that was asked for.
    floor : float
        Nothing is known below this score.
    looks : Looks
    views : ndarray of int, shape (n,)
        In which of the views each box was seen.
    boxes : ndarray of float, shape (n, 2, 2)
        On sample edges of level 0, cut at the border of their view.
    scores : ndarray of float, shape (n,)
    labels : ndarray of int, shape (n,)
        Which of the phrases each box is about.
    slicing : Slicing, optional
        How a volume was cut into planes; None for images.
    """

    phrases: tuple[str, ...]
    default: float
    floor: float
    looks: Looks
    views: Numbers
    boxes: Boxes
    scores: NDArray[np.float64]
    labels: Numbers
    slicing: Slicing | None = None

    def objects(self, box_threshold: float | None = None, phrases: Sequence[str] | None = None) -> Objects:
        """The objects, each once, in the image or volume; see `merged`."""
        found = self.merged(box_threshold, phrases)
        if self.slicing is None:
            names = [self.phrases[n] for n in found.phrases]
            return Objects(found.boxes, found.boxes, found.scores, names, found.rows)
        axis = self.slicing.axis
        linked = link(found.boxes, found.planes, found.phrases, self.slicing.spacing)
        boxes, starts = (
            np.array([box(found.boxes, found.planes, members, axis) for members in linked]).reshape(-1, 2, 3)
            for box in (solid, middle)
        )
        scores = np.array([found.scores[members].max() for members in linked], float)
        names = [self.phrases[found.phrases[members[0]]] for members in linked]
        order = np.lexsort(np.ceil(boxes[:, 0] - _ROUNDING).T[::-1])
        return Objects(boxes, starts, scores, names, np.full(len(linked), -1)).of(order)

    def merged(self, box_threshold: float | None = None, phrases: Sequence[str] | None = None) -> Found:
        """The objects, each once.

        Parameters
        ----------
        box_threshold : float, optional
            Least score; as it was asked for by default.
        phrases : sequence of str, optional
            Only these; all by default.

        Raises
        ------
        UsageError
            If the threshold is below the floor, or a phrase was not asked for.
        """
        least = self.default if box_threshold is None else box_threshold
        if not self.floor <= least <= 1:
            raise UsageError(f"Box threshold {least} is not known: use {self.floor:g} to 1, or run the detector again")
        known = [sense_of(phrase) for phrase in self.phrases]
        wanted = self.phrases if phrases is None else categories_of(phrases)
        if unknown := [phrase for phrase in wanted if sense_of(phrase) not in known]:
            raise UsageError(f"{unknown[0]!r} was not asked for: use {', '.join(map(repr, self.phrases))}")
        numbers = [known.index(sense_of(phrase)) for phrase in wanted]
        rows = np.flatnonzero((self.scores >= least) & np.isin(self.labels, numbers))
        groups = self._groups(rows)
        return _in_order([self._merged(group) for group in groups])

    def _groups(self, rows: Numbers) -> list[Numbers]:
        """Rows by plane and phrase."""
        if not len(rows):
            return []
        keys = np.stack([self.looks.planes[self.views[rows]], self.labels[rows]])
        order = np.lexsort(keys[::-1])
        cuts = np.flatnonzero((np.diff(keys[:, order]) != 0).any(axis=0)) + 1
        return [np.sort(part) for part in np.split(rows[order], cuts)]

    def _merged(self, rows: Numbers) -> Found:
        plane = int(self.looks.planes[self.views[rows[0]]])
        here = np.flatnonzero(self.looks.planes == plane)
        looks = self.looks
        told = merge(
            Sightings(
                levels=looks.levels[here],
                frames=looks.frames[here],
                inner=looks.inner[here],
                samples=looks.samples[here],
                views=np.searchsorted(here, self.views[rows]),
                boxes=self.boxes[rows],
                scores=self.scores[rows],
            )
        )
        count = len(told.scores)
        return Found(
            told.boxes,
            np.full(count, plane),
            told.scores,
            np.full(count, self.labels[rows[0]]),
            np.where(told.rows < 0, -1, rows[told.rows]),
        )


def _in_order(parts: Sequence[Found]) -> Found:
    if not parts:
        none = np.zeros(0, np.int64)
        return Found(np.zeros((0, 2, 2)), none, np.zeros(0), none, none)
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Found.__dataclass_fields__]
    boxes, planes, _, phrases, _ = columns
    rows, samples = np.ceil(boxes[:, 0] - _ROUNDING).T  # the first sample inside
    order = np.lexsort((phrases, samples, rows, planes))
    return Found(*(column[order] for column in columns))
