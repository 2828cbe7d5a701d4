"""The one optimiser of `basin`: a membrane over the samples, held by what is known and torn along edges."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

OVERSHOOT = 1.6
"""Over-relaxation: with it a dozen sweeps carry a seed some tens of samples far."""


def relax(
    start: NDArray[np.float32],
    target: NDArray[np.float32],
    hold: NDArray[np.float32],
    links: NDArray[np.float32],
    sweeps: int,
) -> NDArray[np.float32]:
    """Minimise ``sum(links * (x_i - x_j)**2) + sum(hold * (x - target)**2)`` by red-black over-relaxation.

    Parameters
    ----------
    start, target, hold : ndarray, shape (z, y, x) or (y, x)
        Where to begin; what each sample should be, 0 to 1; how much that weighs. A hold of 1e6 fixes a sample.
    links : ndarray, shape (ndim, *shape)
        Along each axis the link between a sample and the next one; the last ones are not read.
    sweeps : int
        How many times each sample is updated.

    Returns
    -------
    ndarray, shape of `start`
        The membrane, 0 to 1.
    """
    flat = start.ndim == 2
    x = (start[None] if flat else start).astype(np.float32, copy=True)
    along = np.concatenate([np.zeros_like(links[:1]), links])[:, None] if flat else links
    _sweep(x, target.reshape(x.shape), hold.reshape(x.shape), along, sweeps)
    return x[0] if flat else x


@numba.njit(cache=True, fastmath=True, nogil=True)
def _sweep(x: Any, target: Any, hold: Any, links: Any, sweeps: int) -> None:
    depth, height, width = x.shape
    for turn in range(2 * sweeps):
        for i in range(depth):
            for j in range(height):
                for k in range((i + j + turn) % 2, width, 2):
                    weight = hold[i, j, k] + np.float32(1e-12)
                    total = weight * target[i, j, k]
                    if i > 0:
                        weight += links[0, i - 1, j, k]
                        total += links[0, i - 1, j, k] * x[i - 1, j, k]
                    if i < depth - 1:
                        weight += links[0, i, j, k]
                        total += links[0, i, j, k] * x[i + 1, j, k]
                    if j > 0:
                        weight += links[1, i, j - 1, k]
                        total += links[1, i, j - 1, k] * x[i, j - 1, k]
                    if j < height - 1:
                        weight += links[1, i, j, k]
                        total += links[1, i, j, k] * x[i, j + 1, k]
                    if k > 0:
                        weight += links[2, i, j, k - 1]
                        total += links[2, i, j, k - 1] * x[i, j, k - 1]
                    if k < width - 1:
                        weight += links[2, i, j, k]
                        total += links[2, i, j, k] * x[i, j, k + 1]
                    x[i, j, k] += np.float32(OVERSHOOT) * (total / weight - x[i, j, k])
