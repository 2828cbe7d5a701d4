"""Weights, images and questions by rule, for our networks and for the reference implementations alike: NumPy only."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOKENS = ("_token.weight", "mask_tokens.weight", "embed.weight", "embeddings", "invalid_points", "gaussian_matrix")


def weights(key: str, shape: Sequence[int]) -> NDArray[Any]:
    """The value of one key of a state dict: noise of its own, scaled so that activations stay near 1."""
    if key.endswith("num_batches_tracked"):
        return np.array(1)
    noise = _noise(key, math.prod(shape)).reshape(shape)
    if key.endswith("running_var"):
        return 1 + 0.5 * noise
    if len(shape) == 1:
        return 0.1 * noise + (1 if key.endswith("weight") else 0)
    if any(part in key for part in _TOKENS):
        return noise * np.float32(math.sqrt(3))
    if any(part in key for part in ("rel_pos", "attention_biases", "pos_embed")):
        return 0.3 * noise
    return noise * np.float32(math.sqrt(3 / math.prod(shape[1:])))


def picture(side: int) -> NDArray[np.float32]:
    """``(1, 3, side, side)``: a normalised image with waves and noise."""
    y, x = np.mgrid[:side, :side] / side
    waves = np.stack([np.sin(9 * x + 4 * y), np.cos(14 * y * x + 1), np.sin(31 * (x - 0.4) * (y + 0.2))])
    noise = _noise("picture", 3 * side * side).reshape(3, side, side)
    return (waves + 0.3 * noise)[None].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Asked:
    """Two prompts of one form, in pixels of the model's input."""

    points: NDArray[np.float32]
    """``(2, n, 2)``: x and y."""
    labels: NDArray[np.int64]
    """``(2, n)``"""
    boxes: NDArray[np.float32] | None = None
    """``(2, 4)``: x and y of the low and the high corner."""
    masks: NDArray[np.float32] | None = None
    """``(2, 1, side / 4, side / 4)``"""


def questions(side: int) -> dict[str, Asked]:
    """All forms of prompts."""
    spots = np.array([[[310.5, 411], [620, 80.25], [33, 950]], [[777, 512], [900, 900], [5, 5]]], np.float32)
    spots *= side / 1024
    labels = np.array([[1, 1, 0], [1, 0, 0]])
    boxes = np.array([[100, 200, 500.5, 640], [650, 400, 990, 707]], np.float32) * (side / 1024)
    y, x = np.mgrid[: side // 4, : side // 4] * (4 / side)
    masks = (8 * np.stack([np.sin(7 * x + 3 * y), np.cos(5 * y - 11 * x)])[:, None]).astype(np.float32)
    none = spots[:, :0], labels[:, :0]
    return {
        "point": Asked(spots[:, :1], labels[:, :1]),
        "points": Asked(spots, labels),
        "box": Asked(*none, boxes=boxes),
        "box+point": Asked(spots[:, :1], labels[:, :1], boxes=boxes),
        "mask": Asked(*none, masks=masks),
        "point+mask": Asked(spots[:, :1], labels[:, :1], masks=masks),
    }


def _noise(name: str, count: int) -> NDArray[np.float32]:
    """``(count,)`` from -1 to 1: the generator SplitMix64, started with the name's CRC-32."""
    with np.errstate(over="ignore"):
        z = (np.uint64(zlib.crc32(name.encode())) << np.uint64(32)) + np.arange(count, dtype=np.uint64)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float32) * np.float32(2**-23) - 1).astype(np.float32)
