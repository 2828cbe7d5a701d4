"""Models that find all objects by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.models.protocols.views import Model, View


@dataclass(frozen=True, eq=False)
class Proposal:
    """One object that a model sees in a view without being asked for it."""

    window: Window
    """The object's bounding box in the view's index coordinates."""
    samples: NDArray[np.bool_]
    """``window.shape``: which samples are object."""
    score: float
    """The model's own guess of the mask's IoU with the truth, 0 to 1."""


@runtime_checkable
class Proposer(Model, Protocol):
    """A model that finds all objects by itself. `propose` may be called from several threads."""

    def propose(self, view: View) -> list[Proposal]:
        """All objects in a view, the best first; they may overlap, hold one another and be cut by the border.

        A proposal has at least one sample, and its window lies inside the view.
        """
        ...
