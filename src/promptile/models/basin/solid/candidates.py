"""From a prompt's supports to ranked candidates: guess on coarse cells, rank, refine the best, rank again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin.solid.cut import Effort, soft_cut
from promptile.models.basin.solid.hypotheses import hypotheses
from promptile.models.basin.solid.masks import bounds, dice
from promptile.models.basin.solid.ranking import Ranking, measures
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.supports import Support
from promptile.models.basin.solid.workgrid import Field, Mask, WorkGrid

REFINED = 16
"""How many of the guesses are worked on."""
SAME = 0.9
"""Dice from which two guesses are one."""
REFINE_EFFORT = Effort(rounds=3, sweeps=12)
REFINE_TRUST = 0.2
GUESS_ODDS, ELLIPSOID_ODDS = 2.0, 2.0
"""Log odds that a guess, and the ellipsoid's centre, bring into its refinement."""
CERTAIN = np.float32(0.95)
"""What a guess that was not refined says of its cells."""
FINE_CELLS = 400_000
FINE_EFFORT = Effort(rounds=2, sweeps=10)
FINE_ODDS = 3.0
FINE_MARGIN = 2  # coarse cells
NEARLY = 0.7
"""Dice with its ellipsoid from which a candidate is taken for one, seen with noise."""
ROUND_ODDS = 16.0
"""Log odds of the centre of an ellipsoid that the candidate equals."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One answer on the cells of a scene."""

    scene: Scene
    support: Support
    field: Field
    """0 to 1, the object above 0.5."""
    score: float
    """Larger is better; only differences mean something."""

    @property
    def mask(self) -> Mask:
        return self.field > 0.5

    @property
    def volume(self) -> float:
        """In cubed world units."""
        return float(np.count_nonzero(self.mask) * np.prod(self.scene.grid.spacing))


@dataclass(frozen=True, eq=False)
class Clicks:
    """Points of a prompt."""

    points: NDArray[np.float64]
    labels: NDArray[np.bool_]

    def kept(self, grid: WorkGrid, masks: list[Mask]) -> list[int]:
        """How many of the points each of some masks on the grid's cells agrees with."""
        cells = tuple(grid.cells(self.points).T)
        return [int(np.count_nonzero(mask[cells] == self.labels)) for mask in masks]


def candidates(
    samples: Field, valid: Mask, spacing: Sequence[float], supports: list[Support], clicks: Clicks, ranking: Ranking
) -> list[Candidate]:
    """All candidates worth a look, the best first; empty only if nothing is valid in the supports."""
    scenes = []
    for support in supports:
        grid = WorkGrid.over(support.window(valid.shape), spacing, ranking.cells)
        scenes.append(Scene.of(grid, samples, valid, support))
    found: list[Candidate] = []
    for scene, support in zip(scenes, supports, strict=True):
        click = scene.grid.cells(clicks.points)[0] if support.frame is None else None
        found += ranked(scene, support, hypotheses(scene, support, click), clicks, ranking)
    found.sort(key=lambda c: -c.score)
    best = found[:REFINED]
    for scene, support in zip(scenes, supports, strict=True):
        fields = [refined(c) for c in best if c.scene is scene]
        best = best + _scored(scene, support, [f for f in fields if (f > 0.5).any()], ranking)
    return sorted(best, key=lambda c: -c.score)


def ranked(scene: Scene, support: Support, guesses: list[Mask], clicks: Clicks, ranking: Ranking) -> list[Candidate]:
    """The best guesses that differ; those that obey most clicks only."""
    kept = clicks.kept(scene.grid, guesses)
    guesses = [guess for guess, k in zip(guesses, kept, strict=True) if k == max(kept)]
    if not guesses:
        return []
    fields = [np.where(guess, CERTAIN, 1 - CERTAIN) for guess in guesses]
    found = _scored(scene, support, fields, ranking)
    chosen: list[int] = []
    for i in np.argsort([-c.score for c in found], kind="stable"):
        if len(chosen) < REFINED and all(dice(guesses[i], guesses[j]) < SAME for j in chosen):
            chosen.append(int(i))
    return [found[i] for i in chosen]


def _scored(scene: Scene, support: Support, fields: list[Field], ranking: Ranking) -> list[Candidate]:
    scores = ranking.score(measures(scene, support, [field > 0.5 for field in fields]))
    return [Candidate(scene, support, f, float(s) + support.likely) for f, s in zip(fields, scores, strict=True)]


def refined(candidate: Candidate) -> Field:
    """The candidate after a soft cut with eyes adapted to it."""
    scene, mask = candidate.scene, candidate.mask
    near = ndimage.gaussian_filter(mask.astype(np.float32), 1.0)
    rho = candidate.support.radius(scene.grid.centres)
    prior = GUESS_ODDS * (2 * near - 1) + ELLIPSOID_ODDS * (1 - rho)
    return soft_cut(scene.adapted(mask), near, prior.astype(np.float32), REFINE_TRUST, REFINE_EFFORT)


def ellipsoid(candidate: Candidate) -> Candidate:
    """The plain ellipsoid of a candidate's support: what is left where the image says nothing."""
    rho = candidate.support.radius(candidate.scene.grid.centres)
    mask = (rho <= max(1.0, float(rho.min()))) & candidate.scene.allowed
    field = np.where(mask, CERTAIN, 1 - CERTAIN).astype(np.float32)
    return replace(candidate, field=field, score=candidate.score * dice(mask, candidate.mask))


def rounded(candidate: Candidate) -> Candidate:
    """The candidate, drawn to its support's ellipsoid the more it looks like one: what differs then is noise."""
    rho = candidate.support.radius(candidate.scene.grid.centres)
    likeness = dice((rho <= max(1.0, float(rho.min()))) & candidate.scene.allowed, candidate.mask)
    if likeness <= NEARLY:
        return candidate
    pull = np.float32(ROUND_ODDS * (likeness - NEARLY) / (1 - NEARLY)) * np.maximum(1 - rho, -1)
    believed = np.clip(candidate.field, 1 - CERTAIN, CERTAIN)
    field = believed / (believed + (1 - believed) * np.exp(-pull))
    return replace(candidate, field=np.where(candidate.scene.allowed, field, 0).astype(np.float32))


def fine(candidate: Candidate, samples: Field, valid: Mask, spacing: Sequence[float]) -> Candidate:
    """The candidate on finer cells around it, where its own were coarser than the samples."""
    coarse = candidate.scene.grid
    if max(coarse.factors) == 1 or not candidate.mask.any():
        return candidate
    held = bounds(candidate.mask)
    low = [max(a - FINE_MARGIN, 0) * f for (a, _), f in zip(held, coarse.factors, strict=True)]
    high = [(b + FINE_MARGIN) * f for (_, b), f in zip(held, coarse.factors, strict=True)]
    inner = Window.between(low, [min(h, n) for h, n in zip(high, coarse.window.shape, strict=True)])
    grid = WorkGrid.over(inner.shift(coarse.window.start), spacing, FINE_CELLS)
    scene = Scene.of(grid, samples, valid, candidate.support)
    start = _resampled(candidate.field, coarse, grid)
    prior = (FINE_ODDS * (2 * start - 1)).astype(np.float32)
    field = soft_cut(scene.adapted(start > 0.5), start, prior, REFINE_TRUST, FINE_EFFORT)
    return replace(candidate, scene=scene, field=field) if (field > 0.5).any() else candidate


def _resampled(field: Field, coarse: WorkGrid, grid: WorkGrid) -> Field:
    """A field on coarse cells, interpolated at the centres of finer ones."""
    at: list[NDArray[Any]] = [
        (centres - start + 0.5) / factor - 0.5
        for centres, start, factor in zip(grid.centres, coarse.window.start, coarse.factors, strict=True)
    ]
    resampled = field
    for axis, place in enumerate(at):
        low = np.clip(np.floor(place).astype(np.intp), 0, field.shape[axis] - 1)
        high = np.minimum(low + 1, field.shape[axis] - 1)
        weight = np.clip(place - low, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        resampled = resampled.take(low, axis) * (1 - weight) + resampled.take(high, axis) * weight
    return resampled.astype(np.float32)
