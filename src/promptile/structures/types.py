"""What a structure is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window


@dataclass(frozen=True, eq=False)
class Structure:
    """A region or segment on an image's grid.

    Parameters
    ----------
    number : int
        The id of the object where a file of ours says so, else the number in the file; 0 for none.
    name : str
    window : Window
        Bounding box; empty if there are no samples.
    samples : ndarray of bool, shape ``window.shape``
    points : ndarray of float, shape (n, 3)
        Single points in index coordinates, as structure sets may have.
    """

    number: int
    name: str
    window: Window
    samples: NDArray[np.bool_]
    points: NDArray[np.float64]

    @classmethod
    def of(cls, number: int, name: str, places: Sequence[NDArray[np.integer[Any]]]) -> Structure:
        """A structure from the indices ``(n, 3)`` of its samples, in parts; one that is there twice counts once."""
        places = [part for part in places if len(part)]
        if not places:
            return cls(number, name, Window((0, 0, 0), (0, 0, 0)), np.zeros((0, 0, 0), bool), np.zeros((0, 3)))
        low = np.min([part.min(axis=0) for part in places], axis=0)
        high = np.max([part.max(axis=0) for part in places], axis=0) + 1
        samples = np.zeros(high - low, bool)
        for part in places:
            samples[tuple((part - low).T)] = True
        return cls(number, name, Window.between(low.tolist(), high.tolist()), samples, np.zeros((0, 3)))
