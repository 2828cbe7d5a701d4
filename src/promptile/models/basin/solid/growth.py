"""An object that a neighbouring window shows in the overlap goes on: its tones, not its shape, lead the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin.relaxation import FIXED, relax
from promptile.models.basin.solid.cut import evidence
from promptile.models.basin.solid.masks import around
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.workgrid import Field, Mask, WorkGrid

CELLS = 150_000
SURE = 1.0
"""Logits beyond ± this are taken for known; weaker ones only pull."""
TRUST = 0.1
"""In the belief of a cell against its links."""
BEYOND = 0.02
"""The same for cells beyond the shell, which only lead it."""
SWEEPS = 15
SHELL = 4.0
"""Thickness of a shell, in the smallest cell spacing."""
MARGIN = 4
"""Cells around a shell that take part in its relaxation."""
SECTION_ODDS, SECTION_BLUR = 3.0, 1.0
"""Log odds of the section going on as it was, and sigma in cells of its shore."""
ODDS = 1.0
"""What the tones weigh against the section."""
LOOSE = np.float32(0.3)
"""What is said of cells that look like the object but do not hang together with it."""
UNKNOWN = 0.01
"""Share of samples with a logit of exactly 0 from which a mask is partial."""


def partial(mask: NDArray[np.float32], valid: Mask) -> bool:
    """Whether a mask leaves part of the window open."""
    return int(np.count_nonzero((mask == 0) & valid)) > UNKNOWN * max(int(np.count_nonzero(valid)), 1)


def grown(
    samples: Field, valid: Mask, spacing: Sequence[float], known: NDArray[np.float32], box: NDArray[np.float64] | None
) -> Field:
    """The object over the whole window, 0 to 1, from what is known of a part of it.

    Parameters
    ----------
    known : ndarray of float32, the view's shape
        Logits; 0 where nothing is known.
    box : ndarray of float, shape (2, 3), optional
        The object ends there.
    """
    grid = WorkGrid.over(Window.of(valid.shape), spacing, CELLS)
    held = grid.pool(valid) > 0.5
    inside = grid.pool(known > SURE) * held
    object_, background = inside > 0.5, (grid.pool(known < -SURE) > 0.5) & held
    if not object_.any():
        object_ = (inside == inside.max()) & held & ~background
    scene = Scene(grid, grid.pool(samples), held, held, object_)
    field = _spreading(scene, object_, background, grid.pool(known))
    if box is not None:
        field = field * _within(grid, box)
    return np.where(valid, grid.spread(field), 0).astype(np.float32)


def _spreading(scene: Scene, object_: Mask, background: Mask, known: Field) -> Field:
    """Shell by shell away from what is known: the section goes on as it was, unless tones and edges say otherwise."""
    solved = object_ | background
    if not object_.any():
        return object_.astype(np.float32)
    field = object_.astype(np.float32)
    away = ndimage.distance_transform_edt(~solved, sampling=scene.grid.spacing)
    step = SHELL * min(scene.grid.spacing)
    while (solved | ~scene.valid).sum() < solved.size:
        open_ = ~solved & scene.valid
        shell = open_ & (away <= max(step, float(away[open_].min())))
        step += SHELL * min(scene.grid.spacing)
        near = around(shell, MARGIN)
        odds = evidence(scene, field * solved, (1 - field) * solved)[near]
        nearest = ndimage.distance_transform_edt(
            ~solved[near], sampling=scene.grid.spacing, return_distances=False, return_indices=True
        )
        section = field[near][tuple(nearest)]
        shape = SECTION_ODDS * (2 * ndimage.gaussian_filter(section, SECTION_BLUR) - 1)
        belief = 1 / (1 + np.exp(-(ODDS * odds + shape + known[near])))
        belief = np.where(shell[near], belief, section).astype(np.float32)
        hold = np.where(solved[near], FIXED, np.float32(TRUST))
        hold = np.where(shell[near] | solved[near], hold, np.float32(BEYOND))
        links = np.ascontiguousarray(scene.links[:, *near])
        answer = relax(section, belief, hold, links, SWEEPS)
        field[near] = np.where(shell[near], answer, field[near])
        solved |= shell
        loose = (field > 0.5) & ~_connected((field > 0.5) & solved, object_)
        field[loose] = LOOSE
    return field


def _connected(mask: Mask, seeds: Mask) -> Mask:
    """The components of a mask that hold seeds."""
    pieces, count = ndimage.label(mask)
    holds = np.zeros(count + 1, bool)
    holds[pieces[seeds & mask]] = True
    holds[0] = False
    connected: Mask = holds[pieces]
    return connected


def _within(grid: WorkGrid, box: NDArray[np.float64]) -> Mask:
    z, y, x = ((c > low) & (c < high) for c, low, high in zip(grid.centres, *box, strict=True))
    within: Mask = z[:, None, None] & y[:, None] & x
    return within
