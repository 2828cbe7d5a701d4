"""One cut: what is believed of each cell, what its colour says, and links that are weak on edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.plane.features import Features
from promptile.models.basin.relaxation import FIXED, relax

BELIEF_LIMIT = 3.0
BELIEF_WEIGHT = 0.7
"""Log odds of a prior are cut at the limit, then scaled: a prior is surer of itself than it should be."""
COLOUR_LIMIT = 2.5
COLOUR_WEIGHT = 1.5
"""The same for the log ratio of a colour's share inside and outside; it is less sure than it should be."""
RARE = 1e-3
"""Share below which a colour says nothing."""
HOLD = 0.2
"""Pull of the evidence at a cell, compared with the pull of one neighbour of the same colour."""
SWEEPS = 12


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log odds of a probability, finite."""
    p = np.clip(probability, np.float32(1e-4), np.float32(1 - 1e-4))
    odds: NDArray[np.float32] = np.log(p / (1 - p))
    return odds


def believed(features: Features, inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """``shape``: log odds of each cell from a prior and from the colours which that prior finds inside and outside."""
    prior = np.clip(log_odds(inside), -BELIEF_LIMIT, BELIEF_LIMIT)
    colour = np.clip(colour_evidence(features, inside), -COLOUR_LIMIT, COLOUR_LIMIT)
    return BELIEF_WEIGHT * prior + COLOUR_WEIGHT * colour


def colour_evidence(features: Features, inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """``shape``: log ratio of a cell's colour inside and outside, given how far each cell is inside."""
    within, without = _sides(features, inside)
    ratio = np.log((within + RARE) / (without + RARE)).astype(np.float32)
    return ratio[features.palette.index].reshape(inside.shape)


def contrast(features: Features, inside: NDArray[np.float32]) -> float:
    """How far the colours inside differ from those outside: 0 where they are the same, 1 where they share none."""
    within, without = _sides(features, inside)
    return 1 - float(np.sqrt(within * without).sum())


def _sides(features: Features, inside: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the palette's colours inside and outside."""
    known = features.known.astype(np.float32)
    return features.palette.histogram(inside * known), features.palette.histogram((1 - inside) * known)


def settle(
    links: NDArray[np.float32], odds: NDArray[np.float32], held: NDArray[np.bool_], at: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``shape``: how far each cell is inside, 0 to 1, given log odds, and cells that are `held` `at` a value."""
    target = np.where(held, at, 1 / (1 + np.exp(-odds))).astype(np.float32)
    hold = np.where(held, FIXED, np.float32(HOLD))
    return relax(target, target, hold, links, SWEEPS)


def tidy(inside: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Without holes, and without pieces smaller than `least` of the largest one."""
    pieces, count = ndimage.label(inside > 0.5)
    if count == 0:
        return inside
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = (sizes >= least * sizes.max())[pieces] & (pieces > 0)
    ground, _ = ndimage.label(np.pad(~kept, 1, constant_values=True))
    full = ground[1:-1, 1:-1] != ground[0, 0]  # with what it encloses
    return np.where(full, np.maximum(inside, _SURE), np.where(kept | (inside <= 0.5), inside, 1 - _SURE))


_SURE = np.float32(0.6)
"""What a filled hole is set to; one less that for what is removed."""
