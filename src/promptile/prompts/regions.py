"""Mask prompts: polygons and arrays, rasterised window by window."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely.geometry import Polygon, mapping

from promptile.errors import PromptError
from promptile.grid import Window, rescale


@dataclass(frozen=True, eq=False)
class Outline:
    """A polygon in index coordinates of level 0.

    Parameters
    ----------
    parts : tuple of tuple of ndarray of float, shape (n, 2)
        One or more polygons, each as its exterior ring and its holes, as ``(y, x)``.
    """

    parts: tuple[tuple[NDArray[np.float64], ...], ...]

    @cached_property
    def box(self) -> NDArray[np.float64]:
        corners = np.concatenate([rings[0] for rings in self.parts])
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    def within(self, window: Window, factors: Sequence[int]) -> NDArray[np.bool_]:
        """Samples whose centre lies inside."""
        start = np.asarray(window.start, float)
        shapes = []
        for rings in self.parts:
            # rasterio puts whole numbers on corners, so half a sample is added, and wants (x, y)
            moved = [(rescale(ring, factors) - start + 0.5)[:, ::-1] for ring in rings]
            shapes.append((mapping(Polygon(moved[0], moved[1:])), 1))
        mask = rasterize(shapes, out_shape=window.shape, transform=Affine.identity(), dtype="uint8")
        inside: NDArray[np.bool_] = mask.astype(bool)
        return inside

    def to_json(self) -> dict[str, Any]:
        return {"outline": [[ring.tolist() for ring in rings] for rings in self.parts]}


@dataclass(frozen=True, eq=False)
class Raster:
    """A mask prompt given as samples of level 0.

    Parameters
    ----------
    window : Window
        Where `mask` lies in the image.
    mask : ndarray of bool, shape ``window.shape``
    """

    window: Window
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.mask.shape != self.window.shape:
            raise PromptError(f"A mask prompt has shape {self.mask.shape}, its window {self.window.shape}")
        if not self.mask.any():
            raise PromptError("A mask prompt is empty: it needs at least one sample of the object")

    @cached_property
    def box(self) -> NDArray[np.float64]:
        bounds = []
        for axis in range(self.mask.ndim):
            others = tuple(a for a in range(self.mask.ndim) if a != axis)
            used = np.flatnonzero(self.mask.any(axis=others))
            bounds.append((used[0] - 0.5, used[-1] + 0.5))
        edges: NDArray[np.float64] = np.transpose(bounds) + np.asarray(self.window.start, float)
        return edges

    def within(self, window: Window, factors: Sequence[int]) -> NDArray[np.bool_]:
        """Samples whose centre falls on a sample of the mask."""
        inside = np.zeros(window.shape, bool)
        axes, places = [], []
        for axis, (first, length, factor) in enumerate(zip(window.start, window.shape, factors, strict=True)):
            centres = (np.arange(first, first + length) * factor + (factor - 1) // 2) - self.window.start[axis]
            here = (centres >= 0) & (centres < self.window.shape[axis])
            axes.append(centres[here])
            places.append(np.flatnonzero(here))
        inside[np.ix_(*places)] = self.mask[np.ix_(*axes)]
        return inside

    def to_json(self) -> dict[str, Any]:
        packed = base64.b64encode(zlib.compress(np.packbits(self.mask).tobytes())).decode("ascii")
        return {"window": [self.window.start, self.window.shape], "bits": packed}


def region_from(stored: Mapping[str, Any]) -> Outline | Raster:
    """The region that `to_json` gave, also after a way through a file."""
    if "outline" in stored:
        return Outline(tuple(tuple(np.asarray(ring, float) for ring in rings) for rings in stored["outline"]))
    window = Window(*map(tuple, stored["window"]))
    bits = np.frombuffer(zlib.decompress(base64.b64decode(stored["bits"])), np.uint8)
    return Raster(window, np.unpackbits(bits, count=window.size).reshape(window.shape).astype(bool))
