"""What FastSAM's network might say of images, by rule, and questions about them: NumPy only.

For our code and for the reference implementation alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 1024
SHAPES = ((256, 256), (150, 203), (211, 90), (1024, 1024))
"""Rows and columns of the images."""
KINDS = ("plain", "repeats", "border", "nothing")
"""What the network's boxes are like."""


def kinds(shape: tuple[int, int]) -> tuple[str, ...]:
    """Those that are tried on images of a shape; one is enough for large ones."""
    return KINDS if max(shape) < SIDE else KINDS[:1]


def picture(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """``(3, *shape)``: waves and noise in red, green and blue."""
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    waves = np.stack([np.sin(9 * x + 4 * y), np.cos(14 * y * x + 1), np.sin(31 * (x - 0.4) * (y + 0.2))])
    noise = np.random.default_rng(7).uniform(-0.2, 0.2, (3, *shape))
    return np.clip(127.5 * (1 + waves + noise), 0, 255).astype(np.uint8)


def outputs(kind: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The network's two outputs, ``(37, 21504)`` and ``(32, 256, 256)``."""
    random = np.random.default_rng(KINDS.index(kind))
    coarse = random.normal(0, 1, (32, 9, 9))
    places = np.linspace(0, 7.999, SIDE // 4)
    cells, shares = places.astype(int), places % 1
    rows = coarse[:, cells] * (1 - shares)[:, None] + coarse[:, cells + 1] * shares[:, None]
    smooth = rows[..., cells] * (1 - shares) + rows[..., cells + 1] * shares
    found = np.zeros((37, 21504))
    found[:2], found[2:4] = random.uniform(100, 900, (2, 21504)), random.uniform(30, 400, (2, 21504))
    found[4], found[5:] = random.uniform(0, 0.39, 21504), random.normal(0, 1, (32, 21504))
    some = random.choice(21504, 24, replace=False)
    found[4, some] = random.permutation(np.linspace(0.41, 0.97, len(some)))  # no two alike: their order is certain
    if kind == "nothing":
        found[4] = 0.1
    if kind == "repeats":  # nearly the same boxes, and one over nearly everything
        found[:4, some[8:16]] = found[:4, some[:8]] + random.uniform(-4, 4, (4, 8))
        found[:4, some[23]] = (510, 515, 1000, 1005)
    if kind == "border":
        near = [(60, 500, 100, 90), (500, 80, 70, 130), (970, 480, 90, 75), (400, 950, 75, 120)]
        found[:4, some[:4]] = np.array(near).T
    return found.astype(np.float32), np.ascontiguousarray(smooth, np.float32)


def points(shape: tuple[int, int]) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Questions: points ``(n, 2)``, rows first, and their labels."""
    random = np.random.default_rng(3)
    found = []
    for count in (1, 2, 3, 5):
        places = (random.uniform(0.15, 0.85, (count, 2)) * shape).astype(int)
        labels = random.uniform(size=count) < 0.6
        labels[0] = True
        found.append((places, labels))
    return found


def boxes(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Questions ``(6, 2, 2)``: low and high corners on pixel edges from 0 on, rows first; some reach too far."""
    random = np.random.default_rng(4)
    low = random.uniform(-0.05, 0.6, (6, 2))
    return np.stack([low, low + random.uniform(0.2, 0.5, (6, 2))], axis=1) * np.array(shape)
