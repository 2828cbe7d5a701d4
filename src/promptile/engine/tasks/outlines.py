"""Outlines of masks, and what is left of them where many masks agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from promptile.engine.tasks.shades import Shade
from promptile.grid import Window

_REACH = 2
"""Samples around a mask that its outline may need."""
_NOT = -8.0
"""Logit where a mask was not looked at: certainly not object."""
_FULL = 8.0
"""Twice a Sobel filter's answer to a straight step from 0 to 1; of all edges the strongest becomes 1 in the end."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The outline of one mask."""

    window: Window
    """The mask's bounding box in the view."""
    score: float
    places: NDArray[np.int32]
    """``(n,)``: samples of the view on both sides of the outline, counted row by row."""
    strengths: NDArray[np.float32]
    """``(n,)``: how steeply the model's certainty falls there."""


def outline_of(shade: Shade, valid: NDArray[np.bool_]) -> Outline | None:
    """The outline of a mask; None if it has no samples. Where the view or its data end, there is none."""
    mask = shade.logits > 0
    if not mask.any():
        return None
    spans = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    box = Window.between([int(s[0]) for s in spans], [int(s[-1]) + 1 for s in spans]).shift(shade.window.start)
    here = box.grow(_REACH).clip(valid.shape)
    logits, known = np.full(here.shape, _NOT, np.float32), here & shade.window
    logits[known.within(here).slices] = shade.logits[known.within(shade.window).slices]
    certain, mask = expit(logits), logits > 0
    across, along = (ndimage.sobel(certain, axis, mode="nearest") for axis in (0, 1))
    steep = np.hypot(across, along) / np.float32(_FULL)
    band = ndimage.binary_dilation(mask, _AROUND) & ~ndimage.binary_erosion(mask, _AROUND, border_value=1)
    band &= ndimage.binary_erosion(valid[here.slices], _AROUND, border_value=1)
    rows, columns = np.nonzero(band)
    places = (rows + here.start[0]) * valid.shape[1] + columns + here.start[1]
    return Outline(box, shade.score, places.astype(np.int32), steep[band].astype(np.float32))


_AROUND = np.ones((3, 3), bool)


def strongest(outlines: Iterable[Outline], shape: Sequence[int]) -> NDArray[np.float32]:
    """``shape``: per sample the strongest of all outlines; 0 where there is none."""
    strength = np.zeros(int(np.prod(shape)), np.float32)
    for outline in outlines:
        np.maximum.at(strength, outline.places, outline.strengths)
    return strength.reshape(tuple(shape))


def thinned(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges one sample wide: what is not the ridge of its surroundings becomes 0.

    Which way a ridge runs is told by the second derivatives of the blurred strength.
    """
    smooth = ndimage.gaussian_filter(strength, 1.0)
    yy, xx, yx = (ndimage.gaussian_filter(strength, 1.5, order=order) for order in ((2, 0), (0, 2), (1, 1)))
    # The direction across a ridge: that of the strongest downward bend, from half the angle of the Hessian.
    turn = 0.5 * np.arctan2(2 * yx, yy - xx) + np.where(yy + xx > 0, 0, np.pi / 2)
    across = np.stack([np.cos(turn), np.sin(turn)])
    across *= np.where((across[0] < 0) | ((across[0] == 0) & (across[1] < 0)), -1, 1)
    places = np.indices(strength.shape, np.float32)
    before, after = (
        ndimage.map_coordinates(smooth, places + side * across, order=1, mode="nearest") for side in (-1, 1)
    )
    ridge = (smooth > before) & (smooth >= after)
    return np.where(ridge, strength, np.float32(0))


MARGIN = 9
"""Samples around a block on which its thin edges depend: the blurs reach six, the step across two."""
