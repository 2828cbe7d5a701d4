"""A library of shapes that touch the four sides of their box, and how likely each is before the image is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.frame import INNER, MARGIN

POOL = 2
"""Cells of the frame per cell of a shape."""
BOX = INNER // POOL
SIDE = BOX + 2 * (MARGIN // POOL)
_FINE = 3  # samples per cell and axis when a shape is drawn

TILTS = np.linspace(-0.9, 0.9, 13)
"""Correlation of x and y in an ellipse: 0 stands upright, ±1 is a diagonal line."""
TILT_SPREAD = 0.16
POWERS = (3.0, 5.0, 9.0)
"""Superellipses between the ellipse and the box."""
CORNERS = (0.15, 0.35, 0.55, 0.75, 0.9, 1.0)
"""Where a parallelogram touches the sides, from their middle (0) to the corner of the box (1)."""
RIGHT_SPREAD = 0.13
"""Spread of the cosine of a parallelogram's angle: what people build and plough is right-angled."""

ROUND, ROUND_SPREAD = 4.0, 0.05
"""Log weight that a disc gains in a box as high as wide, and the log of the ratio at which little of it is left:
whatever is round has such a box, of other things only a few have."""

FAMILIES = {"ellipse": 6.8, "superellipse": -0.4, "box": -0.2, "parallelogram": 3.2}
"""Log weight of each shape of a family before the image is seen."""


@dataclass(frozen=True, eq=False)
class Library:
    """All shapes, on the cells of a frame pooled by `POOL`."""

    masks: NDArray[np.float32]
    """``(m, SIDE * SIDE)``: share of each cell inside, of the whole shapes."""
    across: NDArray[np.float32]
    """``(3, m, SIDE * SIDE)``: where the outline is and how it faces: weights of Syy, 2 Sxy, Sxx."""
    views: NDArray[np.intp]
    """``(v, SIDE * SIDE)``: which cell of a whole shape is seen at a cell; with each view come all shapes again."""
    prior: NDArray[np.float64]
    """``(n,)``, n = v m: log weight but for the angle."""
    sides: NDArray[np.float64]
    """``(n, 2, 2)``: two sides of each parallelogram as (y, x) in half boxes; NaN for other shapes."""
    upright: NDArray[np.bool_]
    """``(n,)``: the ellipse that is a disc if the box is as high as wide."""

    def log_prior(self, height: float, width: float) -> NDArray[np.float64]:
        """``(n,)``: log weight of the shapes in a box of these sides in samples."""
        a, b = (self.sides[:, i] * [height, width] for i in (0, 1))
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        round_box = ROUND * np.exp(-(np.log(height / width) ** 2) / (2 * ROUND_SPREAD**2))
        right = np.nan_to_num(cosine) ** 2 / (2 * RIGHT_SPREAD**2)
        log: NDArray[np.float64] = self.prior - right + self.upright * round_box
        return log

    def continued(self, sides: NDArray[np.bool_]) -> Library:
        """These shapes and, for each axis, the halves of them that end at sides where the object is cut off.

        Parameters
        ----------
        sides : ndarray of bool, shape (2, 2)
            Low and high side per axis: True where the box ends with the image.
        """
        if not sides.any():
            return self
        down, right = ([np.arange(SIDE), *([_half(*ends)] if ends.any() else [])] for ends in sides)
        views = np.stack([(y[:, None] * SIDE + x).ravel() for y, x in product(down, right)])
        prior, edges = np.tile(self.prior, len(views)), np.tile(self.sides, (len(views), 1, 1))
        upright = np.arange(len(prior)) == np.argmax(self.upright)  # half a disc has no such box
        return replace(self, views=views, prior=prior, sides=edges, upright=upright)

    def sums(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(n, k)``: sums of values ``(k, SIDE * SIDE)`` over each shape."""
        return self._products(self.masks, values)

    def along(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(n, k)``: means along the outlines, across them, of tensors (yy, xy, xx) ``(3, k, SIDE * SIDE)``."""
        yy, xy, xx = (self._products(a, t) for a, t in zip(self.across, tensor, strict=True))
        means: NDArray[np.float32] = yy + xy + xx
        return means

    def mean(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(SIDE * SIDE,)``: the shapes' mean."""
        parts = zip(weights.reshape(len(self.views), -1), self.views, strict=True)
        mean: NDArray[np.float32] = np.sum([_mixed(w, self.masks)[view] for w, view in parts], axis=0, dtype=np.float32)
        return mean

    def _products(self, shapes: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is seen of the whole shapes, times values: the same as the whole shapes, times the values moved back."""
        back = [[np.bincount(view, v, SIDE * SIDE) for v in values] for view in self.views[1:]]
        moved = [values, *np.array(back, np.float32)]
        return np.concatenate([_times(shapes, np.ascontiguousarray(v, np.float32)) for v in moved])


def _half(low: bool, high: bool) -> NDArray[np.intp]:
    """Of the cells along an axis, which ones of a whole shape are there when it ends at one side, or both."""
    place = (np.arange(SIDE) + 0.5 - SIDE / 2 + (float(low) - float(high)) * BOX / 2) / 2 + SIDE / 2
    return np.clip(place, 0, SIDE - 1).astype(np.intp)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _times(one: Any, other: Any) -> Any:
    """``(n, k)``: products of rows. No BLAS: for so little it starts threads, that wait for one another."""
    found = np.empty((len(one), len(other)), np.float32)
    for i in range(len(one)):
        for k in range(len(other)):
            a, b, total = one[i], other[k], np.float32(0)
            for j in range(len(a)):
                total += a[j] * b[j]
            found[i, k] = total
    return found


@numba.njit(cache=True, fastmath=True, nogil=True)
def _mixed(weights: Any, masks: Any) -> Any:
    """``(n,)``: the weighted sum of masks."""
    found = np.zeros(masks.shape[1], np.float32)
    for i in range(len(masks)):
        mask, weight = masks[i], weights[i]
        for j in range(len(found)):
            found[j] += weight * mask[j]
    return found


@lru_cache(maxsize=1)
def library() -> Library:
    """The shapes, drawn once."""
    shapes = [*_ellipses(), *_superellipses(), *_parallelograms()]
    return drawn(
        np.stack([s.mask for s in shapes]).astype(np.float32),
        prior=np.array([FAMILIES[s.family] + s.prior for s in shapes]),
        sides=np.array([s.sides if s.sides is not None else np.full((2, 2), np.nan) for s in shapes]),
        upright=np.arange(len(shapes)) == len(TILTS) // 2,  # ellipses come first
    )


def drawn(
    masks: NDArray[np.float32],
    prior: NDArray[np.float64],
    sides: NDArray[np.float64] | None = None,
    upright: NDArray[np.bool_] | None = None,
) -> Library:
    """A library of masks ``(n, SIDE, SIDE)``; for the rest see `Library`."""
    down, right = np.gradient(masks, axis=(1, 2))
    across = np.stack([down * down, 2 * down * right, right * right]).reshape(3, len(masks), -1)
    across /= np.maximum((across[0] + across[2]).sum(axis=1), 1e-6)[None, :, None]
    return Library(
        masks.reshape(len(masks), -1),
        across.astype(np.float32),
        np.arange(SIDE * SIDE)[None],
        prior,
        np.full((len(masks), 2, 2), np.nan) if sides is None else sides,
        np.zeros(len(masks), bool) if upright is None else upright,
    )


@dataclass(frozen=True, eq=False)
class _Shape:
    """One shape; for `sides` see `Library`."""

    family: str
    mask: NDArray[np.float64]
    prior: float = 0.0
    sides: NDArray[np.float64] | None = None


def _plane() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (y) and columns (x) of fine samples; the box is -1 to 1."""
    edge = SIDE / BOX
    line = (np.arange(SIDE * _FINE) + 0.5) / (SIDE * _FINE) * 2 * edge - edge
    return line[:, None], line[None]


def _draw(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = inside.reshape(SIDE, _FINE, SIDE, _FINE).mean(axis=(1, 3))
    return share


def _ellipses() -> list[_Shape]:
    y, x = _plane()
    return [
        _Shape("ellipse", _draw(x * x - 2 * r * x * y + y * y <= 1 - r * r), -(r**2) / (2 * TILT_SPREAD**2))
        for r in TILTS
    ]


def _superellipses() -> list[_Shape]:
    y, x = _plane()
    return [_Shape("superellipse", _draw(np.abs(x) ** p + np.abs(y) ** p <= 1)) for p in POWERS]


def _parallelograms() -> list[_Shape]:
    """One corner on each side, centrally symmetric: (-1, t), (s, 1), (1, -t), (-s, -1) as (y, x)."""
    found: list[_Shape] = []
    for t, s in product([*(-c for c in CORNERS), *CORNERS], repeat=2):
        corners = np.array([(-1, t), (s, 1), (1, -t), (-s, -1)])
        sides = np.stack([corners[1] - corners[0], corners[2] - corners[1]])
        if abs(np.linalg.det(sides)) < 0.4:  # next to nothing inside: half boxes squared, the box has 4
            continue
        family = "box" if t == 1 and s == 1 else "parallelogram"
        found.append(_Shape(family, _draw(_polygon(corners)), sides=sides))
    return found


def _polygon(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Inside of a convex polygon whose corners go round as (y, x)."""
    y, x = _plane()
    turn = np.sign(np.linalg.det(np.stack([corners[1] - corners[0], corners[2] - corners[1]])))
    inside = np.ones((y.size, x.size), bool)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside &= turn * ((b[0] - a[0]) * (x - a[1]) - (b[1] - a[1]) * (y - a[0])) >= 0
    return inside
