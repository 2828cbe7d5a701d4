"""A work grid with what the solver needs to know: tones, their joint histogram, links and where an object may be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.solid.supports import Support
from promptile.models.basin.solid.workgrid import Field, Mask, WorkGrid

TONE_LIMIT = 3.0
"""Tones beyond ± this (20 deviations of the object's middle) all fall into the last bin."""
TONE_BINS, SMOOTH_BINS = 32, 16
SMOOTHING_CELLS = 1.5
"""Gaussian sigma of the second, smooth tone, in the smallest cell spacing."""
STEEPNESS_CELLS = 0.7
"""Gaussian sigma of the gradient."""
MIDDLE = 0.5
"""Part of the support's radii inside which its tones are taken as typical of the object."""
EDGE_FALLOFF = 2.0
"""A link over a step of one typical difference keeps exp(-this)."""
WEAKEST_LINK = 0.003
LEAST_SPREAD = 1e-3
"""Floor of the tones' deviation as a part of the view's visible range, for constant volumes."""
LEAST_STEP = 1e-3
"""Floor of the typical squared difference of two neighbouring tones."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that hypotheses, ranking and refinement read about one part of the view."""

    grid: WorkGrid
    pooled: Field
    """Intensities as the view has them."""
    valid: Mask
    allowed: Mask
    """Where the object may be; never empty unless nothing is valid."""
    middle: Mask
    """The cells whose tones are taken as typical of the object."""

    @classmethod
    def of(cls, grid: WorkGrid, samples: Field, valid: Mask, support: Support) -> Scene:
        """The scene on `grid`, seen with eyes adapted to the middle of `support`."""
        known = grid.pool(valid) > 0.5
        rho = support.radius(grid.centres)
        middle = (rho < max(MIDDLE, float(rho.min()) * 1.01)) & known
        return cls(grid, grid.pool(samples), known, known & support.allows(grid.centres), middle)

    def adapted(self, middle: Mask) -> Scene:
        """The same scene seen with eyes adapted to the cells in `middle`."""
        return Scene(self.grid, self.pooled, self.valid, self.allowed, middle)

    @cached_property
    def tone(self) -> Field:
        """Intensities, centred on and scaled by the typical ones: what differs from the object saturates."""
        typical = self.pooled[self.middle] if self.middle.any() else self.pooled[self.valid]
        centre = np.median(typical) if typical.size else np.float32(0)
        spread = np.median(np.abs(typical - centre)) if typical.size else 0.0
        tone: Field = np.arcsinh((self.pooled - centre) / np.float32(2 * max(float(spread), LEAST_SPREAD)))
        return tone

    @cached_property
    def smooth(self) -> Field:
        sigma = [SMOOTHING_CELLS * min(self.grid.spacing) / s for s in self.grid.spacing]
        blurred: Field = ndimage.gaussian_filter(self.tone, sigma)
        return blurred

    @cached_property
    def contrast(self) -> NDArray[np.float32]:
        """``(3, z, y, x)``: 0 to 1, the step to the next cell along each axis; the last ones are 0."""
        steps = np.zeros((3, *self.tone.shape), np.float32)
        for axis in range(3):
            steps[axis].swapaxes(0, axis)[:-1] = np.diff(self.tone, axis=axis).swapaxes(0, axis) ** 2
        scale = float(steps[:, self.middle].mean()) if self.middle.any() else 0.0
        contrast: NDArray[np.float32] = 1 - np.exp(-EDGE_FALLOFF * steps / np.float32(max(scale, LEAST_STEP)))
        return contrast

    @cached_property
    def links(self) -> NDArray[np.float32]:
        """``(3, z, y, x)``: how firmly a cell is tied to the next one along each axis."""
        stiff = [(min(self.grid.spacing) / s) ** 2 for s in self.grid.spacing]
        links = (1 - self.contrast + WEAKEST_LINK) * np.array(stiff, np.float32).reshape(3, 1, 1, 1)
        for axis in range(3):  # nothing is tied to cells without samples
            links[axis] *= self.valid & np.roll(self.valid, -1, axis)
        return links.astype(np.float32)

    @cached_property
    def steepness(self) -> Field:
        """Length of the tone's gradient, 1 on average."""
        gradient = ndimage.gaussian_gradient_magnitude(self.tone, STEEPNESS_CELLS)
        mean = float(gradient[self.valid].mean()) if self.valid.any() else 0.0
        steepness: Field = gradient / np.float32(max(mean, 1e-6))
        return steepness

    @cached_property
    def bins(self) -> NDArray[np.int32]:
        """The bin of each cell in the joint histogram of tone and smooth tone."""
        fine = np.clip((self.tone / TONE_LIMIT + 1) / 2 * TONE_BINS, 0, TONE_BINS - 1).astype(np.int32)
        broad = np.clip((self.smooth / TONE_LIMIT + 1) / 2 * SMOOTH_BINS, 0, SMOOTH_BINS - 1).astype(np.int32)
        return fine * SMOOTH_BINS + broad

    def histogram(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """``(TONE_BINS, SMOOTH_BINS)`` share of the weights that falls into each bin."""
        counts = self.counted(weights).reshape(TONE_BINS, SMOOTH_BINS)
        shares: NDArray[np.float64] = counts / max(counts.sum(), 1e-6)
        return shares

    def counted(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """``(TONE_BINS * SMOOTH_BINS,)``: the sum of the weights in each bin."""
        counts: NDArray[np.float64] = _counted(self.bins.ravel(), weights.ravel(), TONE_BINS * SMOOTH_BINS)
        return counts


@numba.njit(cache=True, nogil=True)
def _counted(bins: Any, weights: Any, size: int) -> Any:
    counts = np.zeros(size)
    for i in range(len(bins)):
        counts[bins[i]] += weights[i]
    return counts
