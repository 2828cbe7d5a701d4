"""Everything in an image without a prompt: the regions that stand out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin.hierarchy import hierarchy
from promptile.models.basin.plane.colours import lab
from promptile.models.basin.standing import Taste, standing
from promptile.models.protocols import Proposal, View

SMOOTH = 1.0
"""Samples: blur before colours are compared."""

CRUMB = 12
"""Samples of a watershed's basin below which it is part of a neighbour."""

TASTE = Taste(
    least_size=50,
    least_score=0.22,
    least_seam=3.0,
    constant=-5.0,
    weak=-2.46,
    contrast=0.84,
    round=1.44,
    life=0.36,
    size=2.2,
    size_squared=-0.44,
)
"""A logistic regression of the IoU of regions with roofs, fields, water, forest, nuclei and things in photos, each
kind counting alike, but for the size, whose pull is a fifth weaker; objects of 300 samples are likeliest."""


def proposals(view: View) -> list[Proposal]:
    """All objects in a view, the best first."""
    if not view.valid.any():
        return []
    colours = _smooth(lab(view.samples), view.valid)
    tree = hierarchy(colours[:, None], view.valid[None], (min(view.spacing), *view.spacing), CRUMB)
    found = []
    for region in standing(tree, TASTE):
        box = Window.between([s.start for s in region.box[1:]], [s.stop for s in region.box[1:]])
        found.append(Proposal(box, region.mask[0], region.score))
    return found


def _smooth(colours: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Blurred over valid samples only."""
    blurred: NDArray[np.float32] = np.stack(
        [ndimage.gaussian_filter(np.where(valid, c, 0), SMOOTH, mode="nearest") for c in colours]
    )
    if valid.all():
        return blurred
    share = ndimage.gaussian_filter(valid.astype(np.float32), SMOOTH, mode="nearest")
    blurred /= np.maximum(share, np.float32(1e-6))
    return blurred
