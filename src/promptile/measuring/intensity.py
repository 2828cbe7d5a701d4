"""Mean and standard deviation of the image inside an object, block by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.sources.protocol import Source

Blocks = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]
"""Reads a window: samples ``(c, *window.shape)``, and where there are any."""

_KEPT = 32
"""Blocks of the image that are kept for the next object: 32 MB in a CT."""


def blocks_of_image(source: Source) -> Blocks:
    """Reads blocks of an image, and keeps the last ones: objects lie beside each other."""

    @lru_cache(maxsize=_KEPT)
    def read(window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        return source.read(window), source.valid(window)

    return read


def mean_and_deviation(
    mask: ObjectMask, read: Blocks, channels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation ``(channels,)`` over an object's samples that hold something; NaN without any.

    The deviation is that of all samples (divided by their number). Blocks are added as Chan, Golub and LeVeque do,
    so that large values lose no digits.
    """
    count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    for block, samples in mask.blocks():
        image, valid = read(block)
        values = image[:, samples & valid].astype(float)
        n = values.shape[1]
        if not n:
            continue
        own = values.mean(axis=1)
        apart = own - mean
        squares += ((values - own[:, None]) ** 2).sum(axis=1) + apart**2 * (count * n / (count + n))
        mean += apart * (n / (count + n))
        count += n
    if not count:
        return np.full(channels, np.nan), np.full(channels, np.nan)
    return mean, np.sqrt(squares / count)
