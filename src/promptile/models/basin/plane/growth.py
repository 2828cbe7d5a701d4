"""Growth: an object that is known in part of a window, continued over the rest by its colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.plane.colours import sides
from promptile.models.basin.plane.cut import RARE, log_odds, settle
from promptile.models.basin.plane.frame import Frame
from promptile.models.basin.plane.ground import Ground
from promptile.models.basin.plane.resampling import blurred
from promptile.models.basin.plane.sight import Sight
from promptile.models.protocols import WindowPrompt

UNSEEN = 0.1
"""How much the colours of the unknown part count as background: those that were never seen belong to it."""
RARITY = 0.5
"""Power of the object's share of what is told: 1 counts samples, and a lake whose tip is told stays small; 0 does not,
and a thin river takes its banks."""
ROUNDS = 2
"""The colours are learnt again from the first answer: a river changes on its way."""
BAND = 6
"""Cells around the outline of a mask that is known everywhere within which it may move."""
LIMIT = 4.0
"""Log odds that colours may give."""


def grow(sight: Sight, prompt: WindowPrompt, mask: NDArray[np.float32]) -> tuple[Frame, NDArray[np.float32]]:
    """A frame over the whole window, and how far each of its cells is inside; `mask` is 0 where nothing is known."""
    ground = sight.ground
    frame = ground.frame
    start = frame.pick(mask > 0)
    known = (frame.pick(mask != 0) > 0.5) & ground.known
    sure = known & ~_outline(start) if known.all() else known
    held, at = _held(ground, prompt, sure, start)
    prior = np.where(known & ~sure, log_odds(blurred(start, BAND / 2)), 0).astype(np.float32)
    inside = np.where(known, start, np.float32(0.5))
    for turn in range(ROUNDS):
        odds = prior + _colour_odds(ground, inside, known if turn == 0 else np.ones_like(known))
        inside = _joined(settle(ground.links, odds, held, at), known & (start > 0.5), frame, prompt)
    return frame, inside


def _outline(start: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells near the outline of a mask."""
    line = (start > 0.5) ^ ndimage.binary_erosion(start > 0.5, border_value=1)
    near: NDArray[np.bool_] = ndimage.distance_transform_cdt(~line, "chessboard") <= BAND if line.any() else line
    return near


def _held(
    ground: Ground, prompt: WindowPrompt, known: NDArray[np.bool_], start: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Cells that are certain, and what they are: known ones, no data, outside of the box, at the clicks."""
    frame = ground.frame
    held = known | ~ground.known
    at = np.where(ground.known, start, 0).astype(np.float32)
    if prompt.box is not None:
        y, x = ((frame.centres(a) >= prompt.box[0, a]) & (frame.centres(a) <= prompt.box[1, a]) for a in (0, 1))
        outside = ~(y[:, None] & x)
        held |= outside
        at[outside] = 0
    places = np.clip(np.rint(frame.cells_of(prompt.points)), 0, np.subtract(frame.shape, 1)).astype(int)
    held[tuple(places.T)] = True
    at[tuple(places.T)] = prompt.labels
    return held, at


def _colour_odds(ground: Ground, inside: NDArray[np.float32], told: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``shape``: log odds of each cell by its colour, the object's share of what is told included."""
    palette = ground.palette
    ours, theirs, every = sides(palette.index, ground.known.ravel(), told.ravel(), inside.ravel(), len(palette.centres))
    share = float(ours.sum() / max(float(ours.sum() + theirs.sum()), 1.0)) ** RARITY
    within = share * palette.smoothed(ours)
    other = (1 - share) * palette.smoothed(theirs) + UNSEEN * palette.smoothed(every)
    least = RARE * max(share, RARE)
    ratio = np.clip(np.log((within + least) / (other + least)), -LIMIT, LIMIT).astype(np.float32)
    odds: NDArray[np.float32] = ratio.take(palette.index).reshape(inside.shape)
    return odds


def _joined(
    inside: NDArray[np.float32], known: NDArray[np.bool_], frame: Frame, prompt: WindowPrompt
) -> NDArray[np.float32]:
    """Only the pieces that hold known object or a click on it."""
    pieces, count = ndimage.label(inside > 0.5, np.ones((3, 3), bool))
    if count == 0:
        return inside
    places = np.clip(np.rint(frame.cells_of(prompt.points)), 0, np.subtract(frame.shape, 1)).astype(int)
    wanted = np.zeros(count + 1, bool)
    wanted[pieces[known]] = True
    wanted[pieces[tuple(places[prompt.labels].T)]] = True
    wanted[0] = False
    return np.where(wanted[pieces], inside, np.minimum(inside, np.float32(0.4)))
