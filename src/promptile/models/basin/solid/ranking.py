"""How much a guess looks like an object: a handful of measures, weighted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.solid.masks import around, bounds, count
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.supports import Support
from promptile.models.basin.solid.tally import Tally, depths
from promptile.models.basin.solid.workgrid import Mask

CORE = 0.5
"""Radius of the middle that a guess should cover."""

WEIGHTS: dict[str, tuple[float, float, float]] = {
    # mean distance of the guess from the sides of the user's box, in sides
    "gap": (-7.03, -6.25, 0.00),
    # the largest of these
    "worst gap": (-10.44, -7.93, 0.00),
    # share of the support's middle that the guess covers
    "core": (-0.24, 2.45, 0.71),
    # Dice with the ellipsoid
    "overlap": (1.82, 3.94, 2.47),
    # share of the allowed cells
    "fill": (-3.02, -1.43, -4.30),
    # its logarithm
    "log fill": (0.44, 0.61, 0.08),
    # share of the surface that lies on the border of the allowed cells
    "border": (-3.92, -3.50, -3.47),
    # mean contrast across the surface
    "edge": (16.75, 16.26, 15.64),
    # mean contrast between cells inside
    "inner": (-8.74, -3.52, 3.18),
    # log of volume^(2/3) over surface
    "roundness": (6.83, 4.55, -0.07),
    # mean steepness on the surface
    "rim": (0.58, 0.90, 1.80),
    # mean steepness two cells outside of it
    "outer": (-1.27, -4.62, -1.38),
    # depth of the click in the guess, of the guess's largest depth; 0 without a click
    "central": (0.0, 0.00, 2.45),
    # overlap of the tones with those of a ring outside
    "near": (-15.07, -11.80, -7.08),
    # overlap of the tones with all other allowed ones
    "wide": (5.49, 2.69, 6.07),
    # difference of the mean tones of inside and ring, in deviations
    "step": (-1.76, -1.74, -0.45),
}
"""What each measure weighs for a box, a flat box and a click: the score is the weighted sum.

Fitted on half of the objects of a few CT and MR volumes so that the softmax of the scores picks guesses with a
high mean Dice. A click has no box, so that its gaps are 0; boxes have no click, so that their centrality is 0.
"""


@dataclass(frozen=True)
class Ranking:
    """How guesses are compared for one kind of prompt."""

    column: int
    """Of `WEIGHTS`."""
    cells: int
    """How many cells a scene of this kind may have."""
    temperature: float
    """By how much the scores of two guesses differ where one is e times as likely as the other."""
    expected: tuple[float, float]
    """Offset and slope of the Dice with the truth over the Dice expected among the guesses."""

    def score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(n,)`` from ``(n, measures)``."""
        scores: NDArray[np.float64] = rows @ np.array([weights[self.column] for weights in WEIGHTS.values()])
        return scores

    def quality(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """The Dice with the truth, 0 to 1, from that expected among the guesses."""
        return np.clip(self.expected[0] + self.expected[1] * expected, *QUALITY_LIMITS)


QUALITY_LIMITS = (0.05, 0.95)
BOX = Ranking(0, cells=40_000, temperature=1.0, expected=(-0.6, 1.5))
FLAT_BOX = Ranking(1, cells=20_000, temperature=1.0, expected=(-0.76, 1.52))
CLICK = Ranking(2, cells=12_000, temperature=2.0, expected=(0.12, 0.6))


def measures(scene: Scene, support: Support, guesses: list[Mask]) -> NDArray[np.float64]:
    """``(n, measures)``: one row per guess, the columns as in `WEIGHTS`."""
    rho = support.radius(scene.grid.centres)
    ellipsoid, core = (rho <= 1) & scene.allowed, (rho <= CORE) & scene.allowed
    framed = support.framed(scene.grid.centres) & scene.allowed
    frame = bounds(framed) if framed.any() else None
    allowed, middle, around_ = count(scene.allowed), count(core), count(ellipsoid)
    everything = scene.counted(scene.allowed)
    rows = []
    for guess in guesses:
        tally = Tally.of(scene, guess)
        gaps = _gaps(guess & framed, frame, support.flat) if frame else [0.0]
        size = int(tally.tones[0, 0])
        fill = size / max(allowed, 1)
        rows.append(
            (
                *(float(np.mean(gaps)), float(np.max(gaps))),
                count(guess & core) / max(middle, 1),
                2 * count(guess & ellipsoid) / max(size + around_, 1),
                *(fill, float(np.log(max(fill, 1e-6)))),
                *_surface(scene, tally, size),
                *(float(steep / max(cells, 1)) for cells, steep in tally.rims),
                _central(scene, support, guess) if support.frame is None else 0.0,
                *_tones(tally, everything),
            )
        )
    return np.array(rows).reshape(len(guesses), len(WEIGHTS))


def _gaps(guess: Mask, frame: list[tuple[int, int]], flat: int | None) -> list[float]:
    """Distance of the guess's bounds from the frame's, in sides of the frame; 1 where there is no guess."""
    if not guess.any():
        return [1.0]
    gaps = []
    for axis, ((low, high), (first, last)) in enumerate(zip(bounds(guess), frame, strict=True)):
        if axis != flat:
            gaps += [(low - first) / (last - first), (last - high) / (last - first)]
    return gaps


def _surface(scene: Scene, tally: Tally, size: int) -> tuple[float, float, float, float]:
    """Share on the border of the allowed, contrast on the surface and inside, roundness."""
    step = np.array(scene.grid.spacing)
    cell = float(step.prod())
    area, contrast, border = (cell / step) @ tally.cut
    area = max(area, cell ** (2 / 3))
    roundness = float(np.log((max(size, 1) * cell) ** (2 / 3) / area))
    return border / area, contrast / area, tally.within[1] / max(tally.within[0], 1), roundness


def _central(scene: Scene, support: Support, guess: Mask) -> float:
    """Depth of the click in the guess as a part of its largest depth."""
    near = around(guess)
    depth = depths(np.ascontiguousarray(guess[near]), scene.grid.spacing)
    click = scene.grid.cells(support.centre[None])[0] - [s.start for s in near]
    inside = all(0 <= c < n for c, n in zip(click, depth.shape, strict=True))
    return float(depth[tuple(click)] / depth.max()) if inside else 0.0


def _tones(tally: Tally, everything: NDArray[np.float64]) -> tuple[float, float, float]:
    """Overlap of the tones with a ring's and with all others', and the step between inside and ring."""
    ours, ring, inside = tally.bins
    other = everything - inside
    near, wide = (float(np.sqrt(_shares(ours) * _shares(bins)).sum()) for bins in (ring, other))
    if not tally.tones[:, 0].all():
        return near, wide, 0.0
    cells, sums, squares = tally.tones.T
    means = sums / cells
    spread = np.maximum(squares / cells - means**2, 0)
    return near, wide, float(abs(means[0] - means[1]) / np.sqrt(spread.sum() + 0.01))


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / max(counts.sum(), 1e-6)
    return shares
