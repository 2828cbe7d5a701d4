"""Corrections: clicks that contradict an answer change it, near themselves only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.cut import believed, log_odds, settle
from promptile.models.basin.plane.features import Features
from promptile.models.basin.plane.frame import INNER, SIDE, Frame
from promptile.models.basin.plane.resampling import blurred
from promptile.models.basin.plane.sight import Sight

REACH = 3.5
"""How far a click works, in distances from it to where the answer was what the click wants."""
LEAST_REACH = 3.0
"""Samples."""
LEAST_AREA = 30
"""Samples that an object is taken to have at least."""
SPREAD = 1.8
"""The click's own influence falls off with this many of the same distances,"""
ALIKE = 12.0
"""and with this difference of colour, in steps of `lab`."""
STRENGTH = 6.0
"""Log odds at the click."""
SEED = 0.9
"""Within this many of the same distances everything is what the click says."""
OLD_SEED = 3.0
"""Cells around the other clicks that stay what they say."""
LEFT = 0.5
"""Share of an answer to a box that a click off the object leaves at least: it takes away a part."""
DEEP = 0.4
"""Radii of a disc as large as the answer: a click that contradicts it from deeper inside asks for another one."""
BLUR = 6.0
"""Cells: how precise the earlier answer's outline is taken to be."""


_Click = tuple[NDArray[np.float64], bool]
_Clicks = tuple[NDArray[np.float64], NDArray[np.bool_]]


def correct(
    sight: Sight, logits: NDArray[np.float32], points: NDArray[np.float64], labels: NDArray[np.bool_], *, boxed: bool
) -> NDArray[np.float32]:
    """The logits ``(y, x)`` changed near those points that contradict them, one after the other.

    If the object is `boxed` its size is known; an answer to clicks alone may be far too large.
    """
    for point, label in zip(points, labels, strict=True):
        if (logits[_sample(point, logits.shape)] > 0) != label:
            least = LEFT * np.count_nonzero(logits > 0) if boxed and not label else 0.0
            logits = _mended(sight, logits, (point, bool(label)), (points, labels), least)
    return logits


def misses(logits: NDArray[np.float32], points: NDArray[np.float64], labels: NDArray[np.bool_]) -> int:
    """How many points say other than the logits ``(y, x)``."""
    return sum(bool((logits[_sample(p, logits.shape)] > 0) != label) for p, label in zip(points, labels, strict=True))


def astray(logits: NDArray[np.float32], points: NDArray[np.float64], labels: NDArray[np.bool_]) -> bool:
    """Whether a point off the object lies so deep in the answer that the answer must be of something else.

    What reaches out of the window is never searched anew: the window shows only a part of it.
    """
    inside = logits > 0
    if any(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1])):
        return False
    deep = DEEP * _radius(logits)
    wrong = [p for p in points[~labels] if inside[_sample(p, logits.shape)]]
    return any(_distance(~inside, p) > deep for p in wrong)


def _mended(
    sight: Sight, logits: NDArray[np.float32], click: _Click, every: _Clicks, least: float
) -> NDArray[np.float32]:
    """The logits as wrong around a click as it lies deep, or less so if fewer samples than `least` would be left."""
    wrong: float = max(0.5, min(_distance((logits > 0) == click[1], click[0]), _radius(logits)))
    while True:
        mended = _mend(sight, logits, wrong, click, every)
        if wrong <= LEAST_REACH / REACH or np.count_nonzero(mended > 0) >= least:
            return mended
        wrong /= 2


def _mend(
    sight: Sight, logits: NDArray[np.float32], wrong: float, click: _Click, every: _Clicks
) -> NDArray[np.float32]:
    """The logits changed around a click; `wrong` is how far from it they are, in samples."""
    point, label = click
    reach = max(REACH * wrong, LEAST_REACH)
    half = reach * INNER / SIDE
    frame = Frame.around(np.stack([point - half, point + half]), logits.shape)
    features = Features.of(sight.view, frame)
    old = frame.pick(logits > 0)
    away = np.hypot(frame.centres(0)[:, None] - point[0], frame.centres(1)[None] - point[1])
    here = tuple(np.clip(np.rint(frame.cells_of(point)), 0, SIDE - 1).astype(int))
    unlike = np.square(features.colours - features.colours[:, *here, None, None]).sum(axis=0)
    pull = np.exp(-(away**2) / (2 * (SPREAD * wrong) ** 2) - unlike / (2 * ALIKE**2))
    prior = log_odds(blurred(old, BLUR)) + (STRENGTH if label else -STRENGTH) * pull
    odds = believed(features, (1 / (1 + np.exp(-prior))).astype(np.float32))
    held = (away >= reach) | ~features.known
    at = np.where(features.known, old, 0)
    said = [*zip(*every, strict=True), click]
    for place, wanted in said:
        cell = frame.cells_of(place)
        room = _room((place, bool(wanted)), every) / frame.cell[0]
        size = min(room, max(SEED * wrong / frame.cell[0], 1.0) if place is point else OLD_SEED)
        near = np.hypot(np.arange(SIDE)[:, None] - cell[0], np.arange(SIDE)[None] - cell[1]) <= size
        held |= near
        at = np.where(near, np.float32(wanted), at)
    inside = frame.spread(settle(features.links, odds, held, at.astype(np.float32)))
    y, x = (np.arange(s.start, s.stop) - p for s, p in zip(frame.piece, point, strict=True))
    within = np.hypot(y[:, None], x[None]) < reach
    changed = logits.copy()
    changed[frame.piece] = np.where(within, log_odds(inside), logits[frame.piece])
    for place, wanted in said:  # the others, too: cells are too coarse for clicks that lie a sample apart
        sample = _sample(place, logits.shape)
        if (changed[sample] > 0) != wanted:
            changed[sample] = STRENGTH if wanted else -STRENGTH
    return changed


def _radius(logits: NDArray[np.float32]) -> float:
    """Of a disc as large as the object: a click far away adds no more than the object again."""
    return float(np.sqrt(max(int(np.count_nonzero(logits > 0)), LEAST_AREA) / np.pi))


def _room(click: _Click, every: _Clicks) -> float:
    """Half of the way to the nearest click that says the opposite."""
    others = every[0][every[1] != click[1]]
    return float(np.hypot(*(others - click[0]).T).min()) / 2 if len(others) else float("inf")


def _sample(point: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(np.clip(np.rint(point).astype(int), 0, np.subtract(shape, 1)))


def _distance(wanted: NDArray[np.bool_], point: NDArray[np.float64]) -> float:
    """Samples from a point to the nearest one that is `wanted`; the window's size if none is."""
    radius = 8
    while radius < 2 * max(wanted.shape):
        low = np.clip(np.floor(point - radius), 0, np.subtract(wanted.shape, 1)).astype(int)
        near = wanted[low[0] : max(0, int(point[0]) + radius + 1), low[1] : max(0, int(point[1]) + radius + 1)]
        if near.any():
            apart = np.hypot(*(np.stack(np.nonzero(near)) + (low - point)[:, None]))
            if apart.min() <= radius:
                return float(apart.min())
        radius *= 2
    return float(max(wanted.shape)) / 2
