"""Where the object in a box is likely to be: the shapes of the library, weighed by what the image shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane import shapes
from promptile.models.basin.plane.cut import contrast
from promptile.models.basin.plane.features import COLOURS, Features
from promptile.models.basin.plane.flood import filled, flooded
from promptile.models.basin.plane.frame import INNER, SIDE, Frame
from promptile.models.basin.plane.resampling import halved

COLOUR_WEIGHT = 86.0
"""Log evidence per nat that the side of the outline tells about the colour."""
OUTLINE_WEIGHT = 23.0
"""Log evidence of an outline that runs on edges all along."""
PLENTY = 110.0
"""Samples along a side from which on the image is fully believed; smaller boxes trust the library more."""
FLOOD = -7.0
"""Log weight of the shape that a flood draws: it follows edges wherever they lead, so that edges on it prove less."""
FILLED = 8.0
"""Power of the share of the box that its bounds take up in that weight."""
CLEAR = 0.1
"""Contrast of colours from which on the image alone draws the outline, unless one shape stands out."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What the library says about one box."""

    inside: NDArray[np.float32]
    """``(SIDE, SIDE)``: probability of each cell."""
    parts: tuple[shapes.Library, shapes.Library]
    """Shapes that are drawn ahead, and the one that a flood draws."""
    weights: NDArray[np.float32]
    """``(n,)``: of all of them, the flood's the last; sum 1"""
    belief: float
    """How far the image is believed, 0 to 1: its part in the evidence."""

    def temper(self, features: Features, inside: NDArray[np.float32]) -> NDArray[np.float32]:
        """A mask ``(SIDE, SIDE)`` drawn nearer to the shapes if the image can tell little and one shape stands out.

        The image can tell little where it has few samples, and still less where they are of one colour.
        """
        unclear = (1 - self.belief) * np.exp(-((contrast(features, self.inside) / CLEAR) ** 2))
        doubt = (1 - self.belief) * max(unclear, float(self.weights[:-1].max()) ** 2)
        return inside + np.float32(doubt) * (self.inside * features.known - inside)

    def agreement(self, inside: NDArray[np.float32]) -> float:
        """The IoU that a mask ``(SIDE, SIDE)`` has with a shape drawn from here, on average."""
        mask = _pooled(inside)
        counted = np.stack([mask, np.ones_like(mask)])
        both, size = np.concatenate([part.sums(counted) for part in self.parts]).T
        either = size + mask.sum() - both
        return float(self.weights @ (both / np.maximum(either, np.float32(1e-6))))


def posterior(features: Features, frame: Frame) -> Posterior:
    """The library's shapes in the box of a frame, and what a flood finds there, each weighed by what it explains."""
    size = frame.cell * INNER
    belief = min(1.0, float(size.prod()) ** 0.25 / PLENTY**0.5)
    flood = flooded(features)
    parts = shapes.library().continued(frame.ends), _drawn(flood)
    log = np.concatenate(
        [
            part.log_prior(*size)
            + belief * (COLOUR_WEIGHT * _information(features, part) + OUTLINE_WEIGHT * _outline(features, part))
            for part in parts
        ]
    )
    weights = np.exp(log - log.max())
    weights = (weights / weights.sum()).astype(np.float32)
    mean = parts[0].mean(weights[:-1]).reshape(shapes.SIDE, shapes.SIDE)
    inside = mean.repeat(shapes.POOL, axis=0).repeat(shapes.POOL, axis=1) + weights[-1] * flood
    return Posterior(inside, parts, weights, belief)


def _drawn(mask: NDArray[np.float32]) -> shapes.Library:
    """What a flood found ``(SIDE, SIDE)``, as a shape."""
    log = FLOOD + FILLED * np.log(max(filled(mask), 1e-3))
    return shapes.drawn(_pooled(mask).reshape(1, shapes.SIDE, shapes.SIDE), np.array([log]))


def _pooled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., SIDE, SIDE)`` to ``(..., n)``: means over `POOL` cells."""
    return halved(values).reshape(*values.shape[:-2], shapes.SIDE**2)


def _information(features: Features, library: shapes.Library) -> NDArray[np.float64]:
    """``(n,)``: mutual information in nats between a cell's colour and whether it is inside."""
    one_hot = np.zeros((COLOURS, SIDE * SIDE), np.float32)
    one_hot[features.palette.index, np.arange(SIDE * SIDE)] = features.known.ravel()
    colour = _pooled(one_hot.reshape(COLOURS, SIDE, SIDE))
    every = colour.sum(axis=1)
    inside = library.sums(colour)
    joint = np.stack([inside, every - inside], axis=1).astype(np.float64) / max(float(every.sum()), 1.0)
    joint = np.maximum(joint, 1e-12)
    apart = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    gain: NDArray[np.float64] = (joint * np.log(joint / apart)).sum(axis=(1, 2))
    return gain


def _outline(features: Features, library: shapes.Library) -> NDArray[np.float64]:
    """``(n,)``: mean gradient across the outline, compared with the gradients around."""
    known = _pooled(features.known.astype(np.float32))
    steep = _pooled(features.edges * features.known)
    total, seen = library.along(np.stack([steep, known * [[1], [0], [1]]], axis=1)).T
    mean: NDArray[np.float64] = total / np.maximum(seen, np.float32(0.1))
    return mean
