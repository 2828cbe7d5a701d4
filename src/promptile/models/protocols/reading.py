"""Models that read texts: detectors and rankers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from promptile.models.protocols.card import Thresholds
from promptile.models.protocols.views import Model, View


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one view, the best first."""

    boxes: NDArray[np.float64]
    """``(n, 2, ndim)``: low and high corners on sample edges, as in `WindowPrompt`; cut at the view's border."""
    scores: NDArray[np.float64]
    """``(n,)``: 0 to 1."""
    phrases: NDArray[np.int64]
    """``(n,)``: which of the phrases that were asked for."""
    masks: NDArray[np.bool_] | None = None
    """``(n, *shape)``, from models that draw what they find."""


@runtime_checkable
class Detector(Model, Protocol):
    """A model that finds what a text says. `detect` may be called from several threads."""

    def detect(self, views: Sequence[View], phrases: Sequence[str], thresholds: Thresholds) -> list[Detections]:
        """What each view shows of any of the phrases; nothing is merged, neighbours may overlap.

        Parameters
        ----------
        views : sequence of View
        phrases : sequence of str
            What to look for, such as ``swimming pool``.
        thresholds : Thresholds
            How sure to be, on this detector's scale.

        Returns
        -------
        list of Detections
            One per view.
        """
        ...


@runtime_checkable
class Reading(Protocol):
    """A detector or ranker that cannot read every text, and says so before it looks."""

    def read(self, phrases: Sequence[str]) -> None:
        """Raise ModelError if one of the phrases says nothing, or is too long."""
        ...


@runtime_checkable
class Ranker(Model, Protocol):
    """A model that tells how well texts describe pictures. `rank` may be called from several threads."""

    def rank(self, pictures: Sequence[NDArray[np.float32]], phrases: Sequence[str]) -> NDArray[np.float32]:
        """How well each phrase describes each picture.

        Parameters
        ----------
        pictures : sequence of ndarray of float32, shape (3, rows, columns)
            Red, green and blue from 0 to 1, of any size.
        phrases : sequence of str

        Returns
        -------
        ndarray of float32, shape (pictures, phrases)
            Logits, ready for a softmax over either axis.
        """
        ...
