"""All clicks at once: what is left open within the size of the last mistake is solved anew between them.

::

    ----------------------------------------------- the answer after the local correction
      sure outside | open |  surface  | open | sure inside
                   |<---- BAND x wrong ----->|          and every click is a seed
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin.relaxation import FIXED, relax
from promptile.models.basin.solid.candidates import Clicks
from promptile.models.basin.solid.cut import evidence
from promptile.models.basin.solid.masks import bounds
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.workgrid import Field, Mask, WorkGrid

BAND = 0.8
"""Half the width of what is open, in distances from the newest click to the nearest sample that was right: the
largest mistake is the one that is clicked on, so that deeper samples are right."""
SEED = 2.0
"""Radius of a click's seed, in the finest spacing."""
APART = 0.45
"""The same at most, in distances to the nearest click of the other kind."""
DEPTH_ODDS, TONE_ODDS = 2.0, 0.5
"""Log odds of the answer so far at the band's border, and what the tones weigh beside them."""
TRUST = 0.1
"""In that belief against the links, after the first correction; each further click takes its share of it."""
ROUNDS, SWEEPS = 2, 40
CELLS = 60_000
MARGIN, LEAST_MARGIN = 0.15, 4.0
"""What is seen around mask and clicks, as a part of their size, and at least in the finest spacing."""


def resolved(
    field: Field, samples: Field, valid: Mask, spacing: Sequence[float], clicks: Clicks, wrong: float
) -> Field:
    """The field (0 to 1, the view's shape) after all clicks, the newest of which was `wrong` world units deep.

    Near the surface the membrane hangs between the clicks and what is sure; the mask so far only pulls, and the
    less the more clicks there are.
    """
    mask = field > 0.5
    if not mask.any():
        return field
    window = _seen(mask, clicks, spacing)
    grid = WorkGrid.over(window, spacing, CELLS)
    known = grid.pool(valid) > 0.5
    before = grid.pool(field)
    inside = before > 0.5
    if not (inside & known).any() or inside.all():
        return field
    depth = _depth(inside, grid.spacing) / np.float32(BAND * wrong)
    seeds = _seeds(grid, clicks, np.asarray(spacing))
    after = np.where(np.isnan(seeds), before, seeds)
    scene = Scene(grid, grid.pool(samples), known, known, (after > 0.5) & known)
    fixed = np.where(np.abs(depth) >= 1, inside, np.float32(np.nan))
    fixed = np.where(known, np.where(np.isnan(seeds), fixed, seeds), 0)
    hold = np.where(np.isnan(fixed), np.float32(TRUST / max(len(clicks.points) - 1, 1)), FIXED)
    for _ in range(ROUNDS):
        odds = TONE_ODDS * evidence(scene, after * known, (1 - after) * known)
        belief = 1 / (1 + np.exp(-(DEPTH_ODDS * np.clip(depth, -1, 1) + odds)))
        target = np.where(np.isnan(fixed), belief, fixed).astype(np.float32)
        after = relax(after, target, hold, scene.links, SWEEPS)
    changed = field.copy()
    changed[window.slices] = np.clip(grid.spread(after), 0, 1)
    return changed


def _seen(mask: Mask, clicks: Clicks, spacing: Sequence[float]) -> Window:
    """What holds the mask and the clicks, with a margin."""
    held = np.array(bounds(mask), float).T
    low = np.minimum(held[0], clicks.points.min(axis=0))
    high = np.maximum(held[1], clicks.points.max(axis=0) + 1)
    margin = np.maximum((high - low) * MARGIN, LEAST_MARGIN * min(spacing) / np.asarray(spacing))
    first, last = np.floor(low - margin).astype(int), np.ceil(high + margin).astype(int)
    return Window.between(first.tolist(), last.tolist()).clip(mask.shape)


def _depth(mask: Mask, spacing: Sequence[float]) -> Field:
    """Distance to the surface in world units, negative outside."""
    within = ndimage.distance_transform_edt(mask, sampling=spacing)
    depth: Field = (within - ndimage.distance_transform_edt(~mask, sampling=spacing)).astype(np.float32)
    return depth


def _seeds(grid: WorkGrid, clicks: Clicks, size: NDArray[np.float64]) -> Field:
    """1 and 0 in balls around the clicks, not a number elsewhere; a cell belongs to the nearest click."""
    seeds = np.full(grid.shape, np.nan, np.float32)
    nearest = np.full(grid.shape, np.inf, np.float32)
    for point, label in zip(clicks.points, clicks.labels, strict=True):
        others = np.linalg.norm((clicks.points[clicks.labels != label] - point) * size, axis=1)
        radius = min(SEED * float(size.min()), APART * float(others.min(initial=np.inf)))
        far = grid.distances(point, size)
        ball = (far <= max(radius, float(far.min()))) & (far < nearest)
        nearest[ball] = far[ball]
        seeds[ball] = float(label)
    return seeds
