"""How OWLv2 is shown an image: smoothed before it shrinks, then read off between samples, as its authors do."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_REACH = 4.0
"""A Gaussian ends after so many deviations."""


@lru_cache(maxsize=16)
def resampling(samples: int, pixels: int) -> NDArray[np.float32]:
    """``(pixels, samples)``: what each pixel of a line takes from each sample of another.

    Lines are mirrored at their ends, about the last sample's centre.
    """
    places = (np.arange(pixels) + 0.5) * samples / pixels - 0.5
    low = np.floor(places).astype(int)
    read = np.zeros((pixels, samples))
    rows = np.arange(pixels)
    np.add.at(read, (rows, _mirrored(low, samples)), 1 - (places - low))
    np.add.at(read, (rows, _mirrored(low + 1, samples)), places - low)
    return (read @ _smoothing(samples, max(0.0, (samples / pixels - 1) / 2))).astype(np.float32)


def _smoothing(samples: int, deviation: float) -> NDArray[np.float64]:
    """``(samples, samples)``: what each sample takes from its neighbours."""
    radius = int(_REACH * deviation + 0.5)
    if not radius:
        return np.eye(samples)
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / deviation) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((samples, samples))
    for step, weight in zip(steps, weights, strict=True):
        np.add.at(matrix, (np.arange(samples), _mirrored(np.arange(samples) + step, samples)), weight)
    return matrix


def _mirrored(indices: NDArray[np.int_], samples: int) -> NDArray[np.int_]:
    if samples == 1:
        return np.zeros_like(indices)
    period = 2 * (samples - 1)
    folded = indices % period
    return np.minimum(folded, period - folded)
