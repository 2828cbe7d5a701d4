"""How much a guess looks like an object: a handful of measures, weighted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.solid.masks import bounds, count, dilated, eroded
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.supports import Support
from promptile.models.basin.solid.workgrid import Mask

RING_CELLS = 3
"""Width of the ring outside a guess that its tones are compared with."""
CORE = 0.5
"""Radius of the middle that a guess should cover."""

MEASURES = (
    "gap",  # mean distance of the guess from the sides of the user's box, in sides
    "worst gap",  # the largest of these
    "core",  # share of the support's middle that the guess covers
    "overlap",  # Dice with the ellipsoid
    "fill",  # share of the allowed cells
    "log fill",
    "border",  # share of the surface that lies on the border of the allowed cells
    "edge",  # mean contrast across the surface
    "inner",  # mean contrast between cells inside
    "roundness",  # log of volume^(2/3) over surface
    "rim",  # mean steepness on the surface
    "outer",  # mean steepness two cells outside of it
    "near",  # overlap of the tones with those of a ring outside
    "wide",  # overlap of the tones with all other allowed ones
    "step",  # difference of the mean tones of inside and ring, in deviations
)


@dataclass(frozen=True)
class Ranking:
    """What the measures weigh for one kind of prompt."""

    weights: tuple[float, ...]
    """One per measure. Fitted so that the softmax of the scores picks guesses with a high mean Dice."""
    cells: int
    """How many cells a scene of this kind may have."""
    expected: tuple[float, float]
    """Offset and slope of the Dice that a best score lets expect."""

    def score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(n,)`` from ``(n, len(MEASURES))``."""
        scores: NDArray[np.float64] = rows @ np.array(self.weights)
        return scores

    def dice(self, score: float) -> float:
        """The Dice that a score lets expect, 0 to 1."""
        return float(np.clip(self.expected[0] + self.expected[1] * score, 0.05, 0.95))


def measures(scene: Scene, support: Support, guesses: list[Mask]) -> NDArray[np.float64]:
    """``(n, len(MEASURES))``: one row per guess."""
    rho = support.radius(scene.grid.centres)
    ellipsoid, core = (rho <= 1) & scene.allowed, (rho <= CORE) & scene.allowed
    framed = support.framed(scene.grid.centres) & scene.allowed
    rows = []
    for guess in guesses:
        gaps = _gaps(guess & framed, framed, support.flat) if framed.any() else [0.0]
        size, allowed = count(guess), max(count(scene.allowed), 1)
        fill = size / allowed
        rows.append(
            (
                *(float(np.mean(gaps)), float(np.max(gaps))),
                count(guess & core) / max(count(core), 1),
                2 * count(guess & ellipsoid) / max(size + count(ellipsoid), 1),
                *(fill, float(np.log(max(fill, 1e-6)))),
                *_surface(scene, guess),
                *_rim(scene, guess),
                *_tones(scene, guess),
            )
        )
    return np.array(rows).reshape(len(guesses), len(MEASURES))


def _gaps(guess: Mask, framed: Mask, flat: int | None) -> list[float]:
    """Distance of the guess's bounds from the frame's, in sides of the frame; 1 where there is no guess."""
    if not guess.any():
        return [1.0]
    gaps = []
    for axis, ((low, high), (first, last)) in enumerate(zip(bounds(guess), bounds(framed), strict=True)):
        if axis != flat:
            gaps += [(low - first) / (last - first), (last - high) / (last - first)]
    return gaps


def _surface(scene: Scene, guess: Mask) -> tuple[float, float, float, float]:
    """Share on the border of the allowed, contrast on the surface and inside, roundness."""
    step = np.array(scene.grid.spacing)
    area = contrast_on = border = inside = pairs = 0.0
    for axis, face in enumerate(step.prod() / step):
        here, allowed = guess.swapaxes(0, axis), scene.allowed.swapaxes(0, axis)
        contrast = scene.contrast[axis].swapaxes(0, axis)[:-1]
        cut, within = here[1:] != here[:-1], here[1:] & here[:-1]
        area += face * count(cut)
        contrast_on += face * float(contrast[cut].sum())
        border += face * count(cut & ~(allowed[1:] & allowed[:-1]))
        inside += float(contrast[within].sum())
        pairs += count(within)
    area = max(area, float(step.prod() ** (2 / 3)))
    volume = max(count(guess), 1) * step.prod()
    roundness = float(np.log(volume ** (2 / 3) / area))
    return border / area, contrast_on / area, inside / max(pairs, 1), roundness


def _rim(scene: Scene, guess: Mask) -> tuple[float, float]:
    """Mean steepness on the surface, and two cells outside of it."""
    first = dilated(guess)
    on, out = first & ~eroded(guess), dilated(first) & ~first
    steep = scene.steepness
    return float(steep[on].mean()) if on.any() else 0.0, float(steep[out].mean()) if out.any() else 0.0


def _tones(scene: Scene, guess: Mask) -> tuple[float, float, float]:
    """Overlap of the tones with a ring's and with all others', and the step between inside and ring."""
    ring = dilated(guess, RING_CELLS) & ~guess & scene.valid
    ours = scene.histogram(guess)
    near = np.sqrt(ours * scene.histogram(ring)).sum()
    wide = np.sqrt(ours * scene.histogram(scene.allowed & ~guess)).sum()
    if not ring.any() or not guess.any():
        return float(near), float(wide), 0.0
    a, b = scene.tone[guess], scene.tone[ring]
    step = abs(a.mean() - b.mean()) / np.sqrt(a.var() + b.var() + 0.01)
    return float(near), float(wide), float(step)


BOX = Ranking(
    weights=(-23.6, -9.77, 1.16, -0.817, -2.97, 0.112, -6.06, 16.9, -8.81, 7.2, 0.893, -0.772, -12.4, 5.7, -1.62),
    cells=50_000,
    expected=(1.1711, 0.0382),
)
FLAT_BOX = Ranking(
    weights=(-4.55, -5.26, 3.17, 4.55, 3.03, 0.82, -2.19, 17.8, 1.26, 2.89, 2.27, -4.22, -6.9, 3.05, -0.562),
    cells=20_000,
    expected=(0.2008, 0.0294),
)
CLICK = Ranking(
    weights=(0, 0, 5.41, 4.71, -4.73, -0.52, -2.01, 11.9, 6.29, -1.8, 4.53, -4.39, -7.34, 4.14, -0.343),
    cells=12_000,
    expected=(0.3, 0.03),
)
