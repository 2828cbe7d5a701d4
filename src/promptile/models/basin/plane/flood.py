"""What a flood from the middle of a box and from outside of it makes of the box: its shores are the edges between."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.features import Features
from promptile.models.basin.plane.frame import INNER, MARGIN, SIDE
from promptile.models.basin.plane.resampling import blurred

SPRING = 1 / 3
"""Size of the ellipse in the middle, compared with the box, that is taken to be the object's."""
CALM = 0.7
"""Cells: a further blur, for water finds the smallest gap."""
LEVELS = 256
"""Heights of the water."""


def flooded(features: Features) -> NDArray[np.float32]:
    """``(SIDE, SIDE)``: 1 where the water from the box's middle comes first, 0 where that from outside does."""
    down, right = np.gradient(blurred(features.colours, CALM), axis=(1, 2))
    steep = np.sqrt((down * down + right * right).sum(axis=0))
    height = (steep / (steep + steep.mean() + np.float32(1e-6)) * LEVELS).astype(np.int64)
    first = _springs()
    found: NDArray[np.float32] = _flooded(np.minimum(height, LEVELS - 1).ravel(), first.ravel())
    return found.reshape(first.shape)


def filled(mask: NDArray[np.float32]) -> float:
    """The share of the box that the bounds of a mask ``(SIDE, SIDE)`` take up: an object touches all four sides."""
    inside = mask[MARGIN : MARGIN + INNER, MARGIN : MARGIN + INNER] > 0.5
    spans = [np.flatnonzero(inside.any(axis=a)) for a in (0, 1)]
    return float(np.prod([s[-1] + 1 - s[0] if len(s) else 0 for s in spans])) / INNER**2


def _springs() -> NDArray[np.int8]:
    """``(SIDE, SIDE)``: 1 where water of the object starts, 0 where that of the ground does, -1 between."""
    line = np.abs((np.arange(SIDE) + 0.5 - SIDE / 2) / (INNER / 2))
    y, x = line[:, None], line[None]
    return np.where(y**2 + x**2 <= SPRING**2, 1, np.where((y <= 1) & (x <= 1), -1, 0)).astype(np.int8)


@numba.njit(cache=True, nogil=True)
def _flooded(height: Any, first: Any) -> Any:
    """The lowest shore is flooded next; of equal ones the one that was reached first."""
    owner = first.copy()
    heads, tails = np.full(LEVELS, -1, np.int32), np.full(LEVELS, -1, np.int32)
    after = np.full(len(owner), -1, np.int32)
    for here in range(len(owner)):
        if owner[here] >= 0:
            _queue(heads, tails, after, here, 0)
    level = 0
    while level < LEVELS:
        here = heads[level]
        if here < 0:
            level += 1
            continue
        heads[level] = after[here]
        row, column = here // SIDE, here % SIDE
        for step, inside in ((-SIDE, row > 0), (-1, column > 0), (1, column < SIDE - 1), (SIDE, row < SIDE - 1)):
            if inside and owner[here + step] < 0:
                owner[here + step] = owner[here]
                _queue(heads, tails, after, here + step, max(level, height[here + step]))
    return owner.astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _queue(heads: Any, tails: Any, after: Any, here: int, level: int) -> None:
    """Last in the queue of its level."""
    if heads[level] < 0:
        heads[level] = here
    else:
        after[tails[level]] = here
    tails[level] = here
