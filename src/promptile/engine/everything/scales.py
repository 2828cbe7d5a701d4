"""Objects of a coarser level among those of the finest one: which are new, and what becomes of what they cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from promptile.engine.everything.table import Known
from promptile.engine.flatten import Keep
from promptile.grid import Window
from promptile.run.images import LabelImages

SAME = 0.5
"""A coarse object that has an IoU above it with a fine one is the same object, and the fine one is drawn better."""

COVERED = 0.75
"""A coarse object of which fine ones take at least this share has nothing of its own, where parts are kept."""


@dataclass(frozen=True)
class CoarseLabels:
    """The wholes of a coarser level, seen from finer ones. Can be pickled."""

    images: LabelImages
    factors: tuple[int, ...]
    """Samples of level 0 per coarse sample, along each axis."""
    shape: tuple[int, ...]
    """Of the coarser level."""

    def read(self, window: Window, factors: Sequence[int] | None = None) -> NDArray[np.uint32]:
        """``window.shape``: coarse ids under the samples of a window of the level with these factors, or of level 0."""
        places = []
        for axis, (first, stop) in enumerate(zip(window.start, window.stop, strict=True)):
            factor = factors[axis] if factors is not None else 1
            centres = np.arange(first, stop) * factor + (factor - 1) // 2
            places.append(np.minimum(centres // self.factors[axis], self.shape[axis] - 1))
        around = Window.between([p[0] for p in places], [p[-1] + 1 for p in places])
        labels: NDArray[np.uint32] = self.images.read(around)[0][np.ix_(*(p - p[0] for p in places))]
        return labels


@dataclass(frozen=True, eq=False)
class Shared:
    """How many samples of level 0 coarse and fine objects share; 0 stands for no fine object."""

    fine: NDArray[np.int64]
    coarse: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, fine: NDArray[np.uint32], coarse: NDArray[np.uint32]) -> Shared:
        """Of two label images of one shape."""
        there = coarse > 0
        pairs = (fine[there].astype(np.uint64) << np.uint64(32)) | coarse[there]
        found, counts = np.unique(pairs, return_counts=True)
        return cls((found >> np.uint64(32)).astype(np.int64), (found & np.uint64(0xFFFFFFFF)).astype(np.int64), counts)

    @classmethod
    def sum(cls, parts: Iterable[Shared]) -> Shared:
        """Added up over blocks."""
        nothing = cls(*(np.zeros(0, np.int64) for _ in range(3)))
        every = [nothing, *parts]
        fine, coarse, counts = (
            np.concatenate([getattr(p, name) for p in every]) for name in ("fine", "coarse", "counts")
        )
        pairs, rows = np.unique((fine << 32) | coarse, return_inverse=True)
        return cls(pairs >> 32, pairs & 0xFFFFFFFF, np.bincount(rows, weights=counts).astype(np.int64))


@dataclass(frozen=True, eq=False)
class Choice:
    """What becomes of the objects of two levels."""

    adopted: NDArray[np.int64]
    """Coarse ids that are objects of the result, ascending."""
    absorbed: NDArray[np.int64]
    """``(fine objects + 1,)``: coarse id of the adopted object that a fine one is a part of, or 0."""

    @cached_property
    def ids(self) -> NDArray[np.uint32]:
        """New ids by coarse ones: those after the fine objects; 0 for what is not adopted."""
        ids = np.zeros(int(self.adopted.max(initial=0)) + 1, np.uint32)
        ids[self.adopted] = len(self.absorbed) + np.arange(len(self.adopted))
        return ids

    def roots(self, fine: Known) -> NDArray[np.int64]:
        """``(n + 1,)``: in which adopted object each fine one is: what absorbs it, or the whole it is a part of."""
        roots = self.absorbed.copy()
        above = np.concatenate([[0], fine.parents]).astype(np.int64)
        for layer in range(1, int(fine.layers.max(initial=0)) + 1):
            parts = np.flatnonzero(np.concatenate([[False], fine.layers == layer]))
            roots[parts] = roots[above[parts]]
        return roots

    def known(self, fine: Known, coarse: Known, layers: int) -> Known:
        """What is known of the fine objects, followed by the adopted ones."""
        held = self.roots(fine)[1:] > 0
        parents = np.where(self.absorbed[1:] > 0, self.ids[self.absorbed[1:]], fine.parents)
        moved = replace(
            fine,
            layers=np.minimum(fine.layers + held, layers - 1).astype(np.uint8),
            parents=parents.astype(np.uint32),
        )
        adopted = coarse.take(self.adopted - 1)
        return moved.followed_by(replace(adopted, parents=np.zeros(len(adopted), np.uint32)))


def choose(
    shared: Shared,
    fine: tuple[Known, NDArray[np.int64]],
    coarse: Known,
    large: NDArray[np.bool_],
    keep: Keep,
) -> Choice:
    """Which coarse objects are adopted, and which fine ones are parts of them.

    A coarse object is adopted if it is too large to be seen well at the finer level and no fine object is the same.

    Parameters
    ----------
    shared : Shared
    fine : Known, and ndarray of int, shape (fine objects,)
        The fine objects and their numbers of samples.
    coarse : Known
    large : ndarray of bool, shape (coarse objects,)
        Whether they are too large for a tile of the finer level.
    keep : str
        As in `flatten`.
    """
    f, c, counts = shared.fine, shared.coarse, shared.counts
    sizes = np.bincount(c, weights=counts, minlength=len(coarse) + 1)
    known, own = fine[0], np.concatenate([[0], fine[1]])
    some = f > 0
    adopted = np.concatenate([[False], large & (coarse.layers == 0)])
    adopted[c[some & (counts > SAME * (own[f] + sizes[c] - counts))]] = False
    if keep == "part":
        taken = np.bincount(c[some], weights=counts[some], minlength=len(coarse) + 1)
        adopted &= taken < COVERED * sizes
    absorbed = np.zeros(len(known) + 1, np.int64)
    inside = some & adopted[c] & (counts > SAME * own[f]) & np.concatenate([[False], known.layers == 0])[f]
    if keep == "part":
        inside &= False
    if keep == "best":  # what a tile saw whole can stand better for itself
        worse = np.concatenate([[0], known.scores])[f] <= np.concatenate([[0], coarse.scores])[c]
        inside &= worse | ~np.concatenate([[False], known.authored])[f]
    absorbed[f[inside]] = c[inside]
    return Choice(np.flatnonzero(adopted), absorbed)


def too_large(boxes: NDArray[np.int64], factors: Sequence[int], reach: Sequence[float]) -> NDArray[np.bool_]:
    """``(n,)``: which boxes of a coarse level exceed `reach` samples of level 0 along an axis."""
    extents = (boxes[:, 1] - boxes[:, 0]) * np.asarray(factors)
    large: NDArray[np.bool_] = (extents > np.asarray(reach)).any(axis=1)
    return large
