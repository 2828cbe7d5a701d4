"""Where the object in a box is likely to be: the shapes of the library, weighed by what the image shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane import shapes
from promptile.models.basin.plane.cut import contrast
from promptile.models.basin.plane.features import COLOURS, Features
from promptile.models.basin.plane.frame import INNER, SIDE, Frame

COLOUR_WEIGHT = 86.0
"""Log evidence per nat that the side of the outline tells about the colour."""
OUTLINE_WEIGHT = 23.0
"""Log evidence of an outline that runs on edges all along."""
PLENTY = 110.0
"""Samples along a side from which on the image is fully believed; smaller boxes trust the library more."""
CLEAR = 0.1
"""Contrast of colours from which on the image alone draws the outline, unless one shape stands out."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What the library says about one box."""

    inside: NDArray[np.float32]
    """``(SIDE, SIDE)``: probability of each cell."""
    shapes: NDArray[np.float32]
    """``(n, SIDE * SIDE / POOL ** 2)``"""
    weights: NDArray[np.float32]
    """``(n,)``, sum 1"""
    belief: float
    """How far the image is believed, 0 to 1: its part in the evidence."""

    def temper(self, features: Features, inside: NDArray[np.float32]) -> NDArray[np.float32]:
        """A mask ``(SIDE, SIDE)`` drawn nearer to the shapes if the image can tell little and one shape stands out.

        The image can tell little where it has few samples, and still less where they are of one colour.
        """
        unclear = (1 - self.belief) * np.exp(-((contrast(features, self.inside) / CLEAR) ** 2))
        doubt = (1 - self.belief) * max(unclear, float(self.weights.max()) ** 2)
        return inside + np.float32(doubt) * (self.inside * features.known - inside)

    def agreement(self, inside: NDArray[np.float32]) -> float:
        """The IoU that a mask ``(SIDE, SIDE)`` has with a shape drawn from here, on average."""
        mask = _pooled(inside)
        both = self.shapes @ mask
        either = self.shapes.sum(axis=1) + mask.sum() - both
        return float(self.weights @ (both / np.maximum(either, np.float32(1e-6))))


def posterior(features: Features, frame: Frame) -> Posterior:
    """The library's shapes in the box of a frame, each weighed by what it explains."""
    size = frame.cell * INNER
    library = shapes.library().continued(frame.ends)
    evidence = COLOUR_WEIGHT * _information(features, library) + OUTLINE_WEIGHT * _outline(features, library)
    belief = min(1.0, float(size.prod()) ** 0.25 / PLENTY**0.5)
    log = library.log_prior(*size) + belief * evidence
    weights = np.exp(log - log.max())
    weights = (weights / weights.sum()).astype(np.float32)
    mean = (weights @ library.masks).reshape(shapes.SIDE, shapes.SIDE)
    whole = np.ones((shapes.POOL, shapes.POOL), np.float32)
    return Posterior(np.kron(mean, whole), library.masks, weights, belief)


def _pooled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., SIDE, SIDE)`` to ``(..., n)``: means over `POOL` cells."""
    n, p = shapes.SIDE, shapes.POOL
    pooled: NDArray[np.float32] = values.reshape(*values.shape[:-2], n, p, n, p).mean(axis=(-3, -1))
    return pooled.reshape(*values.shape[:-2], n * n)


def _information(features: Features, library: shapes.Library) -> NDArray[np.float64]:
    """``(n,)``: mutual information in nats between a cell's colour and whether it is inside."""
    one_hot = np.zeros((COLOURS, SIDE * SIDE), np.float32)
    one_hot[features.palette.index, np.arange(SIDE * SIDE)] = features.known.ravel()
    colour = _pooled(one_hot.reshape(COLOURS, SIDE, SIDE))
    every = colour.sum(axis=1)
    inside = library.masks @ colour.T
    joint = np.stack([inside, every - inside], axis=1).astype(np.float64) / max(float(every.sum()), 1.0)
    joint = np.maximum(joint, 1e-12)
    apart = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    gain: NDArray[np.float64] = (joint * np.log(joint / apart)).sum(axis=(1, 2))
    return gain


def _outline(features: Features, library: shapes.Library) -> NDArray[np.float64]:
    """``(n,)``: mean gradient across the outline, compared with the gradients around."""
    known = _pooled(features.known.astype(np.float32))
    yy, xy, xx = _pooled(features.edges * features.known)
    total = library.across[0] @ yy + library.across[1] @ xy + library.across[2] @ xx
    seen = (library.across[0] + library.across[2]) @ known
    mean: NDArray[np.float64] = total / np.maximum(seen, np.float32(0.1))
    return mean
