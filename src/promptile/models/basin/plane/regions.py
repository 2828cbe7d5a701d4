"""The region of like colour around a click: what contours cannot say, a river, a road, a large lake."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.plane.contours import STARTS, radii
from promptile.models.basin.plane.sight import Overview, Sight

TOLERANCES = (11.0, 14.0, 17.0)
"""Differences of colour, in steps of `lab`, up to which samples belong together."""
STEADY = 1.25
"""A region is one if it grows by no more than this factor from the first tolerance to the last,"""
SHARP = 0.78
"""if its outline is an edge to this degree,"""
HIDDEN = 0.5
"""and if less than this share of it can be seen from the click in a straight line,"""
FAR = float(radii()[int(STARTS[-1])])
"""or it reaches farther than this from the click, in samples, where no search for contours starts: else a contour says
it better."""
OPEN = 0.9
"""What meets three sides of the window is the ground between objects, unless more than this share of it is seen."""
_RAYS = 128


def winding(sight: Sight, click: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """Logits ``(y, x)`` of the region around a click, as coarse as `Sight.overview`; None if there is no clear one."""
    seen = sight.overview
    place = tuple(np.clip(np.floor((click + 0.5) / seen.factor), 0, np.subtract(seen.known.shape, 1)).astype(int))
    apart = np.sqrt(np.square(seen.colours - seen.colours[:, *place, None, None]).sum(axis=0))
    found = [_around((apart < t) & seen.known, place) for t in TOLERANCES]
    if found[-1].sum() > STEADY * found[0].sum() or found[0].sum() < _RAYS:
        return None
    region = found[1]
    if not _needed(region, place, FAR / seen.factor) or _sharpness(region, seen) < SHARP:
        return None
    fine = region.repeat(seen.factor, axis=0).repeat(seen.factor, axis=1)
    return np.where(fine[: sight.view.shape[0], : sight.view.shape[1]], np.float32(4), np.float32(-4))


def _around(like: NDArray[np.bool_], place: tuple[int, ...]) -> NDArray[np.bool_]:
    pieces, _ = ndimage.label(like)
    found: NDArray[np.bool_] = (pieces == pieces[place]) & like[place]
    return found


def _needed(region: NDArray[np.bool_], place: tuple[int, ...], far: float) -> bool:
    """Whether a region is something that a contour around a place in it cannot say, and not the ground."""
    seen = _seen_from(region, place)
    sides = sum(bool(line.any()) for line in (region[0], region[-1], region[:, 0], region[:, -1]))
    ground = sides >= 3 and seen <= OPEN
    return not ground and (seen <= HIDDEN or _reach(region, place) > far)


def _reach(region: NDArray[np.bool_], place: tuple[int, ...]) -> float:
    """How far from a place in it a region reaches."""
    return float(np.hypot(*(np.argwhere(region) - place).T).max())


def _seen_from(region: NDArray[np.bool_], place: tuple[int, ...]) -> float:
    """Share of a region that is seen from a place in it."""
    angle = np.arange(_RAYS) * (2 * np.pi / _RAYS)
    step = np.arange(sum(region.shape))
    y = np.rint(place[0] + np.sin(angle)[:, None] * step).astype(int)
    x = np.rint(place[1] + np.cos(angle)[:, None] * step).astype(int)
    there = (y >= 0) & (x >= 0) & (y < region.shape[0]) & (x < region.shape[1])
    free = there & region[np.clip(y, 0, region.shape[0] - 1), np.clip(x, 0, region.shape[1] - 1)]
    length = np.cumprod(free, axis=1).sum(axis=1)
    return float(np.pi / _RAYS * np.square(length).sum() / region.sum())


def _sharpness(region: NDArray[np.bool_], seen: Overview) -> float:
    """How much a region's outline is an edge, 0 to 1."""
    line = (region ^ ndimage.binary_dilation(region)) & seen.known
    return float(seen.edges[line].mean()) if line.any() else 0.0
