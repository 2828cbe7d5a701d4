"""What was seen of one phrase in one plane, view by view."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import Boxes, Numbers, areas

_NEAR = 0.01
"""A box that ends so near to its view's border, as a part of the view's side, is taken to be cut there."""

_FILLING = 0.9
"""A box that covers so much of its view is as large as the view."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """Boxes of one phrase in one plane, and the views in which they were seen.

    Parameters
    ----------
    levels : ndarray of int, shape (v,)
    frames : ndarray of float, shape (v, 2, 2)
        Where each view lies, on sample edges of level 0.
    inner : ndarray of bool, shape (v, 2, 2)
        Which sides of it are not the image's border.
    samples : ndarray of float, shape (v, 2)
        How many samples of level 0 one of its samples covers.
    views : ndarray of int, shape (n,)
    boxes : ndarray of float, shape (n, 2, 2)
    scores : ndarray of float, shape (n,)
    """

    levels: Numbers
    frames: Boxes
    inner: NDArray[np.bool_]
    samples: NDArray[np.float64]
    views: Numbers
    boxes: Boxes
    scores: NDArray[np.float64]

    @cached_property
    def cut(self) -> NDArray[np.bool_]:
        """``(n, 2, 2)``: at which sides the object may go on beyond the view."""
        frames = self.frames[self.views]
        near = np.maximum(_NEAR * (frames[:, 1] - frames[:, 0]), self.samples[self.views])
        close: NDArray[np.bool_] = np.abs(self.boxes - frames) <= near[:, None]
        return close & self.inner[self.views]

    @cached_property
    def filling(self) -> NDArray[np.bool_]:
        """``(n,)``: which boxes are as large as their view, of several: a vague answer, or a piece of something large.

        Where one view shows the whole image and there is no other, they say what the detector means.
        """
        if len(self.levels) == 1:
            return np.zeros(len(self.views), bool)
        return areas(self.boxes) >= _FILLING * areas(self.frames[self.views])

    def __len__(self) -> int:
        return len(self.scores)

    def of(self, rows: NDArray[Any]) -> Sightings:
        """Some of the boxes, all of the views."""
        return replace(self, views=self.views[rows], boxes=self.boxes[rows], scores=self.scores[rows])
