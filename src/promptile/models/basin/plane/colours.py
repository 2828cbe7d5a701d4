"""Colour: a space in which distances mean something, and palettes of the colours in a piece of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = _TO_XYZ.sum(axis=1)
"""sRGB primaries and white under D65, so that grey has a = b = 0."""

TAIL = 0.2
"""Share of the scale kept for what is darker, or brighter, than the visible range: seas and bright nuclei lie there."""

CONTRAST = 30.0
"""Steps of `lab` from dark to bright cells of a frame that suffice: eyes adapt to one that has less."""
LEAST_CONTRAST = 2.0
"""Steps of `lab`: less is noise."""
DARK, BRIGHT = 10, 90
"""Percentiles of the lightness: nine tenths of the cells are brighter, or darker."""

ENOUGH = 2500
"""Samples from which a palette is made."""
ROUNDS = 6
"""Rounds of k-means: more change no answer."""


def lab(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rendered samples ``(c, *shape)`` in steps a person sees: 0 to 100 from dark to bright.

    Three channels or more: CIE Lab of the first three, then the others scaled like L; fewer: each like L.
    """
    shown = _visible(samples)
    if len(shown) < 3:
        return shown * np.float32(100)
    linear = np.where(shown[:3] > 0.04045, ((shown[:3] + 0.055) / 1.055) ** 2.4, shown[:3] / 12.92)
    xyz = [r * linear[0] + g * linear[1] + b * linear[2] for r, g, b in (_TO_XYZ / _WHITE[:, None]).tolist()]
    root = [np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in xyz]
    space = np.stack([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])
    return np.concatenate([space, shown[3:] * 100]).astype(np.float32)


def _visible(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rendered samples squeezed into 0 to 1: the visible range straight, what lies beyond bent, never cut."""
    slope = 1 - 2 * TAIL
    if samples.size == 0 or (samples.min() >= 0 and samples.max() <= 1):  # as nearly always
        return TAIL + slope * samples
    dark = TAIL / (1 - slope / TAIL * np.minimum(samples, 0))
    bright = 1 - TAIL / (1 + slope / TAIL * np.maximum(samples - 1, 0))
    return np.where(samples < 0, dark, np.where(samples > 1, bright, TAIL + slope * samples)).astype(np.float32)


def adapted(colours: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Colours as eyes see them that have adapted to a frame without much contrast, such as an organ in a CT.

    What is darker or brighter than nearly all of it is bent towards it, never cut, so that a little air, or metal, is
    not all that is seen. Nothing changes where there is contrast enough.
    """
    if not known.any():
        return colours
    dark, bright = np.percentile(colours[0][known], (DARK, BRIGHT))
    gain = CONTRAST / max(bright - dark, LEAST_CONTRAST)
    if gain <= 1:
        return colours
    seen = colours * np.float32(gain)
    off = (colours[0] - (dark + bright) / 2) * gain / (CONTRAST / 2)
    far = np.maximum(np.abs(off), 1)
    seen[0] = np.clip(off, -1, 1) * (1 + np.log(far)) * (CONTRAST / 2)
    return seen


@dataclass(frozen=True, eq=False)
class Palette:
    """The main colours of a piece of an image."""

    centres: NDArray[np.float32]
    """``(k, c)``"""
    index: NDArray[np.uint8]
    """Which of them each sample has, flat."""
    near: NDArray[np.float32]
    """``(k, k)``: how much two of them count as one when histograms are smoothed."""

    @classmethod
    def of(cls, colours: NDArray[np.float32], size: int, blur: float) -> Palette:
        """k-means from starts spread over the colours' main axis; `blur` in steps of `lab`."""
        every = np.ascontiguousarray(colours.reshape(len(colours), -1).T)
        flat = np.ascontiguousarray(every[:: max(1, len(every) // ENOUGH)])
        order = np.argsort(flat @ _axis(flat), kind="stable")
        centres = flat[order[((np.arange(size) + 0.5) * len(order) / size).astype(int)]]
        for _ in range(ROUNDS):
            centres = _moved(flat, _nearest(flat, centres), centres)
        apart = ((centres[:, None] - centres) ** 2).sum(axis=2)
        return cls(centres, _nearest(every, centres), np.exp(-apart / (2 * blur**2)).astype(np.float32))

    def histogram(self, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """``(k,)``: share of each colour under weights of the samples, smoothed between like colours."""
        return self.smoothed(_amounts(self.index, weights.ravel(), len(self.centres)))

    def smoothed(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(..., k)``: the same from how much there is of each colour."""
        counts = amounts @ self.near
        shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1e-9)
        return shares


def _axis(flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The direction in which colours differ most."""
    if flat.shape[1] == 1:
        return np.ones(1, np.float32)
    centred = flat - flat.mean(axis=0)
    return np.linalg.eigh(centred.T @ centred)[1][:, -1].astype(np.float32)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _nearest(flat: Any, centres: Any) -> Any:
    """``(n,)``: which centre is nearest to each sample; samples are gone over inside, so that many go at once."""
    channels = np.ascontiguousarray(flat.T)
    least = np.full(len(flat), np.inf, np.float32)
    index = np.zeros(len(flat), np.uint8)
    for k in range(len(centres)):
        apart = np.zeros(len(flat), np.float32)
        for c in range(len(channels)):
            line, centre = channels[c], centres[k, c]
            for i in range(len(apart)):
                apart[i] += (line[i] - centre) * (line[i] - centre)
        for i in range(len(apart)):
            nearer = apart[i] < least[i]
            index[i] = np.uint8(k) if nearer else index[i]
            least[i] = apart[i] if nearer else least[i]
    return index


@numba.njit(cache=True, nogil=True)
def _moved(flat: Any, index: Any, centres: Any) -> Any:
    """Each centre as the mean of its samples; one without any stays."""
    count, sums = np.zeros(len(centres)), np.zeros(centres.shape)
    for i in range(len(flat)):
        count[index[i]] += 1
        for c in range(flat.shape[1]):
            sums[index[i], c] += flat[i, c]
    moved = centres.copy()
    for k in range(len(centres)):
        if count[k] > 0:
            moved[k] = (sums[k] / count[k]).astype(np.float32)
    return moved


@numba.njit(cache=True, nogil=True)
def _amounts(index: Any, weights: Any, size: int) -> Any:
    """``(size,)``: sums of the weights of each colour."""
    amounts = np.zeros(size)
    for i in range(len(index)):
        amounts[index[i]] += weights[i]
    return amounts


@numba.njit(cache=True, nogil=True)
def sides(index: Any, known: Any, told: Any, inside: Any, size: int) -> Any:
    """``(3, size)``: how much of each colour is inside and outside of what is told, and everywhere that is known."""
    amounts = np.zeros((3, size))
    for i in range(len(index)):
        if known[i]:
            k = index[i]
            amounts[2, k] += 1
            if told[i]:
                amounts[0, k] += inside[i]
                amounts[1, k] += 1 - inside[i]
    return amounts
