"""Everything in a volume without a prompt: the regions that stand out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin.hierarchy import Tree, hierarchy
from promptile.models.basin.standing import Taste, standing
from promptile.models.protocols import Proposal, View

SMOOTH = 1.0
"""Smallest spacings: blur before tones are compared."""
STEPS = np.float32(100)
"""Steps of tone between the darkest and the brightest visible sample."""
BEYOND = 0.5
"""How far beyond the visible range tones still differ, as a part of it."""

CRUMB = 32
"""Samples of a watershed's basin below which it is part of a neighbour."""

TASTE = Taste(
    least_size=100,
    least_score=0.1,
    least_seam=1.5,
    constant=-15.2,
    weak=-2.0,
    contrast=1.17,
    round=1.0,
    life=0.3,
    size=6.84,
    size_squared=-0.9,
)
"""As for images, but for the size, which counts more: organs and lesions in CT and MR are most likely at 6000 samples
of the finest spacing, and neither the body nor a bubble is one."""


def proposals(view: View) -> list[Proposal]:
    """All objects in a view, the best first."""
    if not view.valid.any():
        return []
    found = []
    for region in standing(tree_of(view), TASTE):
        box = Window.between([s.start for s in region.box], [s.stop for s in region.box])
        found.append(Proposal(box, region.mask, region.score))
    return found


def tree_of(view: View) -> Tree:
    """All regions of a view."""
    tones = np.clip(view.samples, -BEYOND, 1 + BEYOND) * STEPS
    sigma = [SMOOTH * min(view.spacing) / s for s in view.spacing]
    return hierarchy(_smooth(tones, view.valid, sigma), view.valid, view.spacing, CRUMB)


def _smooth(tones: NDArray[np.float32], valid: NDArray[np.bool_], sigma: list[float]) -> NDArray[np.float32]:
    """Blurred over valid samples only."""
    blurred: NDArray[np.float32] = np.stack(
        [ndimage.gaussian_filter(np.where(valid, c, 0), sigma, mode="nearest") for c in tones]
    )
    if not valid.all():
        share = ndimage.gaussian_filter(valid.astype(np.float32), sigma, mode="nearest")
        blurred /= np.maximum(share, np.float32(1e-6))
    return blurred
