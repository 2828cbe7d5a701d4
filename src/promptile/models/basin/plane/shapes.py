"""A library of shapes that touch the four sides of their box, and how likely each is before the image is seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

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
    """``(n, SIDE * SIDE)``: share of each cell inside."""
    across: NDArray[np.float32]
    """``(3, n, SIDE * SIDE)``: where the outline is and how it faces: weights of Syy, 2 Sxy, Sxx."""
    prior: NDArray[np.float64]
    """``(n,)``: log weight but for the angle."""
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
        found = self
        for axis, (low, high) in enumerate(sides):
            if low or high:
                found = found._with_halves(axis, low, high)
        return found

    def _with_halves(self, axis: int, low: bool, high: bool) -> Library:
        place = (np.arange(SIDE) + 0.5 - SIDE / 2 + (float(low) - float(high)) * BOX / 2) / 2 + SIDE / 2
        index = np.clip(place, 0, SIDE - 1).astype(int)

        def stretch(values: NDArray[np.float32]) -> NDArray[np.float32]:
            wide = values.reshape(*values.shape[:-1], SIDE, SIDE)
            wide = wide[..., index, :] if axis == 0 else wide[..., index]
            return np.concatenate([values, wide.reshape(values.shape)], axis=-2)

        prior, sides = (np.concatenate([v, v]) for v in (self.prior, self.sides))
        upright = np.concatenate([self.upright, np.zeros_like(self.upright)])  # half a disc has no such box
        return Library(stretch(self.masks), stretch(self.across), prior, sides, upright)


@lru_cache(maxsize=1)
def library() -> Library:
    """The shapes, drawn once."""
    drawn = [*_ellipses(), *_superellipses(), *_parallelograms()]
    masks = np.stack([mask for _, mask, _, _ in drawn]).astype(np.float32)
    prior = np.array([FAMILIES[family] + p for family, _, p, _ in drawn])
    down, right = np.gradient(masks, axis=(1, 2))
    across = np.stack([down * down, 2 * down * right, right * right]).reshape(3, len(masks), -1)
    across /= (across[0] + across[2]).sum(axis=1)[None, :, None]
    sides = np.array([s if s is not None else np.full((2, 2), np.nan) for _, _, _, s in drawn])
    upright = np.arange(len(masks)) == len(TILTS) // 2  # ellipses come first
    return Library(masks.reshape(len(masks), -1), across.astype(np.float32), prior, sides, upright)


_Shape = tuple[str, NDArray[np.float64], float, NDArray[np.float64] | None]


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
        ("ellipse", _draw(x * x - 2 * r * x * y + y * y <= 1 - r * r), -(r**2) / (2 * TILT_SPREAD**2), None)
        for r in TILTS
    ]


def _superellipses() -> list[_Shape]:
    y, x = _plane()
    return [("superellipse", _draw(np.abs(x) ** p + np.abs(y) ** p <= 1), 0.0, None) for p in POWERS]


def _parallelograms() -> list[_Shape]:
    """One corner on each side, centrally symmetric: (-1, t), (s, 1), (1, -t), (-s, -1) as (y, x)."""
    found: list[_Shape] = []
    for t, s in product([*(-c for c in CORNERS), *CORNERS], repeat=2):
        corners = np.array([(-1, t), (s, 1), (1, -t), (-s, -1)])
        sides = np.stack([corners[1] - corners[0], corners[2] - corners[1]])
        if abs(np.linalg.det(sides)) < 0.4:  # next to nothing inside: half boxes squared, the box has 4
            continue
        family = "box" if t == 1 and s == 1 else "parallelogram"
        found.append((family, _draw(_polygon(corners)), 0.0, sides))
    return found


def _polygon(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Inside of a convex polygon whose corners go round as (y, x)."""
    y, x = _plane()
    turn = np.sign(np.linalg.det(np.stack([corners[1] - corners[0], corners[2] - corners[1]])))
    inside = np.ones((y.size, x.size), bool)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside &= turn * ((b[0] - a[0]) * (x - a[1]) - (b[1] - a[1]) * (y - a[0])) >= 0
    return inside
