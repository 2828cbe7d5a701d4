"""Which candidate to show: the one that is expected to be most like the truth, whichever of them that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numba
import numpy as np

from promptile.models.basin.solid.candidates import Candidate
from promptile.models.basin.solid.workgrid import Mask, WorkGrid

CELLS = 60_000
"""Of the grid on which candidates from different scenes are compared."""


def agreed(found: list[Candidate], spacing: Sequence[float], temperature: float) -> list[Candidate]:
    """The candidates by their expected Dice, which becomes their score.

    It is the mean Dice of a candidate with all of them, weighted by how likely their scores make them.
    """
    whole = reduce(lambda a, b: a | b, (candidate.scene.grid.window for candidate in found))
    grid = WorkGrid.over(whole, spacing, CELLS)
    common = _common(np.array([_seen(candidate, grid).ravel() for candidate in found]))
    sizes = np.diag(common)
    likeness = 2 * common / np.maximum(sizes[:, None] + sizes, 1)
    np.fill_diagonal(likeness, 1.0)
    scores = np.array([candidate.score for candidate in found])
    chances = np.exp((scores - scores.max()) / temperature)
    expected = likeness @ (chances / chances.sum())
    order = np.argsort(-expected, kind="stable")
    return [replace(found[i], score=float(expected[i])) for i in order]


def _seen(candidate: Candidate, grid: WorkGrid) -> Mask:
    """The candidate's mask at the centres of another grid's cells."""
    own = candidate.scene.grid
    at, inside = [], []
    for centres, start, factor, n in zip(grid.centres, own.window.start, own.factors, own.shape, strict=True):
        cells = np.floor((centres - start + 0.5) / factor).astype(np.intp)
        inside.append((cells >= 0) & (cells < n))
        at.append(np.clip(cells, 0, n - 1))
    z, y, x = inside
    seen: Mask = candidate.mask[np.ix_(*at)] & z[:, None, None] & y[:, None] & x
    return seen


@numba.njit(cache=True, nogil=True)
def _common(masks: Any) -> Any:
    """How many cells each two masks share."""
    n, _ = masks.shape
    common = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            common[i, j] = common[j, i] = np.sum(masks[i] & masks[j])
    return common
