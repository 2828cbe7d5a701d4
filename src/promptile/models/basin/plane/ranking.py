"""Which contours around a click are likely to be objects, and which few of them to offer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.contours import RAYS, STEPS, Polar, areas, histograms, radii

WEIGHTS = {"edge": 43.7, "weakest": 26.8, "contrast": 12.0, "inner": 30.8, "votes": 40.5, "size": -6.5, "both": 14.8}
"""Of what speaks for a contour; differences of the sum are log odds."""
SAME_STEPS = 1.5
"""Two searches that end this near to each other on average found the same contour."""
GUESS = (0.2, 0.35)
"""IoU of a contour that has all others against it, and what it gains with none beside it."""
SAME = 0.7
"""Two answers with an IoU above it are not offered both."""


def scores(polar: Polar, paths: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(n,)``: how likely each contour is an object, as log odds against the others."""
    total: NDArray[np.float64] = np.sum([WEIGHTS[k] * v for k, v in _traits(polar, paths).items()], axis=0)
    return total


def choose(paths: NDArray[np.int64], score: NDArray[np.float64], most: int) -> list[int]:
    """Indices of the best contours that differ from one another, the best first."""
    chosen: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        if all(_iou(paths[i], paths[j]) < SAME for j in chosen):
            chosen.append(int(i))
        if len(chosen) == most:
            break
    return chosen


def _traits(polar: Polar, paths: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """``(n,)`` each."""
    edge = np.sort(polar.edges[np.arange(RAYS), paths], axis=1)
    within, around = histograms(polar, paths)
    contrast = 1 - np.sqrt(within * around).sum(axis=1)
    inside = (np.arange(STEPS) < paths[..., None] - 1) * areas()
    apart = np.abs(paths[:, None] - paths).mean(axis=2)
    return {
        "edge": edge.mean(axis=1),
        "weakest": edge[:, : RAYS // 4].mean(axis=1),
        "contrast": contrast,
        "inner": (polar.edges * inside).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1e-6),
        "votes": (apart < SAME_STEPS).mean(axis=1),
        "size": np.log(np.pi * np.mean(radii()[paths] ** 2, axis=1)) ** 2 / 100,
        "both": edge.mean(axis=1) * contrast,
    }


def _iou(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    low, high = np.sort([radii()[a], radii()[b]], axis=0) ** 2
    return float(low.sum() / high.sum())


def quality(score: NDArray[np.float64], chosen: list[int]) -> list[float]:
    """Guesses of the IoU of the chosen contours, the best first: from how far each stands out."""
    share = np.exp(score[chosen] - score.max())
    return [float(v) for v in GUESS[0] + GUESS[1] * share / share.sum()]
