"""Which contours around a click are likely to be objects, and which few of them to offer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.contours import RAYS, STEPS, Polar, areas, histograms, radii

WEIGHTS = {
    "edge": 30.1,
    "weakest": 26.2,
    "contrast": 18.3,
    "inner": 27.8,
    "votes": 20.5,
    "size": 0.67,
    "large": -0.098,
    "both": 21.7,
    "rough": -6.5,
}
"""Of what speaks for a contour; differences of the sum are log odds."""
SAME_STEPS = 1.5
"""Two searches that end this near to each other on average found the same contour."""
GUESS = (0.2, 0.35)
"""IoU of a contour that resembles no other, and what it gains when all that is likely is alike."""
SAME = 0.7
"""Two answers with an IoU above it are not offered both."""
ONE = 0.8
"""Two contours with an IoU above it are one, found twice."""


def scores(polar: Polar, paths: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(n,)``: how likely each contour is an object, as log odds against the others."""
    total: NDArray[np.float64] = np.sum([WEIGHTS[k] * v for k, v in _traits(polar, paths).items()], axis=0)
    return total


def choose(paths: NDArray[np.int64], score: NDArray[np.float64], most: int) -> tuple[list[int], list[float]]:
    """Indices of contours that differ from one another, the best first, and guesses of their IoU.

    The first one is that which resembles all likely ones most; the others are the likeliest beside it.
    """
    alike = _resemblance(paths)
    odds = np.exp(score - score.max()) / (alike > ONE).sum(axis=1)  # many searches may end in one contour
    expected = alike @ (odds / odds.sum())
    chosen = [int(np.argmax(expected))]
    for i in np.argsort(-score, kind="stable"):
        if len(chosen) < most and alike[i, chosen].max() < SAME:
            chosen.append(int(i))
    guesses = GUESS[0] + GUESS[1] * expected[chosen]
    return chosen, [float(v) for v in np.minimum.accumulate(guesses)]


def _resemblance(paths: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(n, n)``: IoU of each two contours."""
    area = radii()[paths] ** 2
    both, either = (f(area[:, None], area).sum(axis=2) for f in (np.minimum, np.maximum))
    resemblance: NDArray[np.float64] = both / either
    return resemblance


def _traits(polar: Polar, paths: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """``(n,)`` each."""
    edge = np.sort(polar.edges[np.arange(RAYS), paths], axis=1)
    within, around = histograms(polar, paths)
    contrast = 1 - np.sqrt(within * around).sum(axis=1)
    inside = (np.arange(STEPS) < paths[..., None] - 1) * areas()
    size = np.log(np.pi * np.mean(radii()[paths] ** 2, axis=1))
    apart = np.abs(paths[:, None] - paths).mean(axis=2)
    return {
        "edge": edge.mean(axis=1),
        "weakest": edge[:, : RAYS // 4].mean(axis=1),
        "contrast": contrast,
        "inner": (polar.edges * inside).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1e-6),
        "votes": (apart < SAME_STEPS).mean(axis=1),
        "size": size,
        "large": size**2,
        "both": edge.mean(axis=1) * contrast,
        "rough": np.abs(paths - np.roll(paths, 1, axis=1)).mean(axis=1),
    }
