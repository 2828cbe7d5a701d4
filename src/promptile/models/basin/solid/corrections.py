"""A click corrects an earlier answer: within a reach that follows from how wrong it was, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin.relaxation import FIXED, relax
from promptile.models.basin.solid.masks import around
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.workgrid import Field, Mask, WorkGrid

REACH = 3.0
"""Reach of a click, in distances from the click to the nearest sample that was right."""
LEAST_REACH = 2.5  # samples along the finest axis
SURE = 0.7
"""Part of that distance around the click that takes its label for certain."""
PUSH = 6.0
"""Log odds that a click adds next to it; they fall to none at its reach."""
TONE_SCALE = 1.0
"""Tones this far from the click's lose exp(-1/2) of the push."""
TRUST = 0.2
SWEEPS = 25
CELLS = 60_000
LOST = 1.2
"""Distance of a click from the mask, in depths of the mask, from which it is about another object."""


def corrected(
    field: Field, samples: Field, valid: Mask, spacing: Sequence[float], click: tuple[NDArray[np.float64], bool]
) -> Field:
    """The field (0 to 1, the view's shape) after one click that it was wrong at.

    Parameters
    ----------
    click : (ndarray of float, shape (3,), bool)
        Where, in the view's index coordinates, and whether the object is there.
    """
    point, label = click
    size = np.asarray(spacing)
    wrong = mistake(field, spacing, click)
    reach = max(REACH * wrong, LEAST_REACH * float(size.min()))
    around = np.maximum(np.ceil(reach / size), 1)
    window = _cube(point, around).clip(valid.shape)
    grid = WorkGrid.over(window, spacing, CELLS)
    before = grid.pool(field)
    distance = grid.distances(point, size)
    middle = distance <= max(SURE * wrong, float(distance.min()))
    known = grid.pool(valid) > 0.5
    scene = Scene(grid, grid.pool(samples), known, known, middle & known)
    after = _relaxed(scene, before, middle, distance / reach, label)
    changed = field.copy()
    native = WorkGrid(window, (1, 1, 1), tuple(size))
    near = np.clip(1.5 - 1.5 * native.distances(point, size) / reach, 0, 1)
    part = changed[window.slices]
    part += near.astype(np.float32) * grid.spread(after - before)
    np.clip(part, 0, 1, out=part)
    held = tuple(np.clip(np.rint(point).astype(int), 0, np.subtract(valid.shape, 1)))
    changed[held] = 1.0 if label else 0.0
    return changed


def mistake(field: Field, spacing: Sequence[float], click: tuple[NDArray[np.float64], bool]) -> float:
    """How deep a click lies in what was wrong, in world units; at least a sample."""
    size = np.asarray(spacing)
    return max(_distance(field > 0.5, *click, size), float(size.min()))


def lost(field: Field, spacing: Sequence[float], click: tuple[NDArray[np.float64], bool]) -> bool:
    """Whether a click on the object lies so far from the field that this must be another object."""
    mask = field > 0.5
    if not mask.any() or not click[1]:
        return click[1]
    near = around(mask)
    depth = float(ndimage.distance_transform_edt(np.pad(mask[near], 1), sampling=spacing).max())
    return _distance(mask, *click, np.asarray(spacing)) > LOST * depth


def _relaxed(scene: Scene, before: Field, sure: Mask, far: Field, label: bool) -> Field:
    """The field on the scene's cells under the click's influence, fixed where the influence ends."""
    alike = np.exp(-0.5 * ((scene.smooth - np.median(scene.smooth[sure])) / TONE_SCALE) ** 2)
    push = PUSH * np.clip(1 - far, 0, 1) * alike
    prior = np.log(np.clip(before, 0.02, 0.98) / np.clip(1 - before, 0.02, 0.98))
    target = 1 / (1 + np.exp(-(prior + (push if label else -push))))
    target = np.where(sure, 1.0 if label else 0.0, np.where(far < 1, target, before)).astype(np.float32)
    hold = np.where(sure | (far >= 1), FIXED, np.float32(TRUST))
    after = relax(before, target, hold, scene.links, SWEEPS)
    return np.maximum(after, before) if label else np.minimum(after, before)


def _distance(mask: Mask, point: NDArray[np.float64], label: bool, size: NDArray[np.float64]) -> float:
    """From a point to the nearest sample with this label, in world units; to the far corner if there is none."""
    wanted = mask == label
    reach = 8
    while True:
        around = np.maximum(np.ceil(reach * size.min() / size), 1)
        window = _cube(point, around).clip(mask.shape)
        found = np.argwhere(wanted[window.slices])
        limit = float((around * size).min())
        if len(found):
            nearest = float(np.sqrt((((found + window.start - point) * size) ** 2).sum(axis=1)).min())
            if nearest <= limit:
                return nearest
        if window.shape == mask.shape:
            return nearest if len(found) else float(np.linalg.norm(np.multiply(mask.shape, size)) / 4)
        reach *= 2


def _cube(point: NDArray[np.float64], around: NDArray[np.float64]) -> Window:
    low, high = np.rint(point - around).astype(int), np.rint(point + around).astype(int) + 1
    return Window.between(low.tolist(), high.tolist())
