"""A soft GrabCut: histograms of inside and outside, a belief, and the relaxation that makes it smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.relaxation import FIXED, relax
from promptile.models.basin.solid.masks import around
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.workgrid import Field

EVIDENCE_LIMIT = 3.0
"""What one cell's tones may add to or take from the log odds."""
HISTOGRAM_BLUR = (1.0, 0.7)
"""Sigma in bins: neighbouring tones are the same tissue."""
UNSEEN = 1e-4
"""Share of a bin that nobody has seen."""


@dataclass(frozen=True)
class Effort:
    """How long a cut is worked on."""

    rounds: int
    """How often the histograms are taken anew."""
    sweeps: int
    """Sweeps of the solver in each round."""


def evidence(scene: Scene, inside: NDArray[Any], outside: NDArray[Any]) -> Field:
    """Log odds of each cell's tones under two weightings of the cells."""
    # The solver overshoots 0 and 1 a little, and a share below 0 has no logarithm.
    both = (np.clip(weights, 0, 1) for weights in (inside, outside))
    ours, theirs = (ndimage.gaussian_filter(scene.histogram(weights), HISTOGRAM_BLUR) for weights in both)
    odds = np.clip(np.log((ours + UNSEEN) / (theirs + UNSEEN)), -EVIDENCE_LIMIT, EVIDENCE_LIMIT)
    looked_up: Field = odds.ravel().astype(np.float32)[scene.bins]
    return looked_up


def soft_cut(scene: Scene, start: Field, prior: Field, trust: float, effort: Effort) -> Field:
    """A field from 0 to 1: where the object is, by its tones, its edges and the prior's log odds.

    Parameters
    ----------
    start : ndarray of float32
        What the first histograms are taken from.
    prior : ndarray of float32
        Log odds of the shape alone.
    trust : float
        In the belief of a cell against its links (a link without contrast is 1).
    """
    field = np.where(scene.allowed, start, 0).astype(np.float32)
    if not scene.allowed.any():
        return field
    near = around(scene.allowed)  # outside of it nothing moves
    allowed = scene.allowed[near]
    hold = np.where(allowed, np.float32(trust), FIXED)
    links = np.ascontiguousarray(scene.links[:, *near])
    for _ in range(effort.rounds):
        odds = evidence(scene, field * scene.valid, (1 - field) * scene.valid)
        belief = np.where(allowed, 1 / (1 + np.exp(-(prior + odds)[near])), 0)
        field[near] = relax(field[near], belief.astype(np.float32), hold, links, effort.sweeps)
    return field
