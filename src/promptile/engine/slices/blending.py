"""One slice between two that have marks: what is seen of it from both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.slices.pieces import Sheet, bounds, draw, pieces_of

_HALF = 0.5
"""From a sample's centre to its edge."""


def blended(
    before: Sheet, after: Sheet, share: float, spacing: tuple[float, float], *, doubted: tuple[bool, bool]
) -> Sheet:
    """Outlines between those of two sheets.

    Parameters
    ----------
    before, after : tuple of Piece
        The slice as it is seen from either side.
    share : float
        How much of the way from one side to the other, 0 to 1: how much `after` counts.
    spacing : (float, float)
        Of samples in the slice.
    doubted : (bool, bool)
        Whether the marks of the other side deny what is seen from `before`, and from `after`: what only one side sees
        is then taken in its own half alone.
    """
    window = (bounds(before) | bounds(after)).grow(1)
    a, b = draw(before, window), draw(after, window)
    numbers, count = ndimage.label(a | b, np.ones((3, 3), bool))
    in_a, in_b = (np.isin(np.arange(count + 1), numbers[mask]) for mask in (a, b))
    both = (in_a & in_b)[numbers] & (numbers > 0)
    distances = [_distance(mask & both, spacing) for mask in (a, b)]
    found = ((1 - share) * distances[0] + share * distances[1] > 0) & both
    if not doubted[0] or share < _HALF:
        found |= a & ~both
    if not doubted[1] or share > _HALF:
        found |= b & ~both
    return pieces_of(found, window.start)


def _distance(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """How far inside the outline each sample is, negative outside; 0 where nothing is inside."""
    if not mask.any():
        return np.zeros(mask.shape)
    half = _HALF * min(spacing)
    inside = ndimage.distance_transform_edt(mask, spacing) - half
    outside = ndimage.distance_transform_edt(~mask, spacing) - half
    distance: NDArray[np.float64] = np.where(mask, inside, -outside)
    return distance
