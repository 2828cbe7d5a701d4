"""The shapes that prompts stand for: the ellipsoid in a box or around a click, a section blown up above and below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.models.basin.solid.sections import section
from promptile.models.basin.solid.workgrid import Field, Mask
from promptile.models.protocols import View

Axes = Sequence[NDArray[np.float64]]
"""Per axis the index coordinates of cells."""

MARGIN = 0.2
"""What is seen around the bounds, as a part of their size."""
LEAST_MARGIN = 3  # samples
FLAT_HEIGHTS = {0.5: -1.5, 1.0: 0.0, 2.0: -1.5}
"""Heights of the objects that a flat box may stand for, as parts of the mean of its sides, and what speaks for them."""
FLAT_REACH = (1.6, 1.3)
"""How far an object may go beyond a flat box's ellipsoid: along the flat axis, and beside it."""
CLICK_REACH = 1.6
"""How far an object may go beyond a click's sphere."""
CLICK_SCALES = 1.8
"""Ratio of one sphere to the next smaller one."""
SMALLEST_CLICK = 2.5  # samples of the coarsest axis: the radius of the smallest sphere
MOST_SCALES = 7


@dataclass(frozen=True, eq=False)
class Support:
    """Where an object is thought to be.

    ::

        +--------------------+   bounds: nothing of the object lies outside
        |     .-''''-.       |
        |   (  centre  )     |   ellipsoid: radius 1
        |     '-....-'       |
        +--------------------+
    """

    centre: NDArray[np.float64]
    """``(3,)`` in the view's index coordinates."""
    radii: NDArray[np.float64]
    """``(3,)`` in samples of the view."""
    bounds: NDArray[np.float64]
    """``(2, 3)`` on sample edges."""
    frame: NDArray[np.float64] | None
    """``(2, 3)``: the user's box, whose sides the object touches."""
    flat: int | None = None
    """The axis along which the frame is only one slice of the object."""
    section: Field | None = None
    """Distance from the object's heart in the view's slice at the centre, instead of the ellipse there."""
    likely: float = 0.0
    """What speaks for it before the image is looked at, in units of the score."""

    def radius(self, at: Axes) -> Field:
        """Distance from the centre at the given coordinates, 1 on the ellipsoid."""
        squares = [((c - m) / r) ** 2 for c, m, r in zip(at, self.centre, self.radii, strict=True)]
        z, y, x = (s.astype(np.float32) for s in squares)
        if self.section is not None and self.flat is not None:
            along = (z[:, None, None], y[:, None], x)[self.flat]
            across = [np.rint(c).astype(np.intp) for axis, c in enumerate(at) if axis != self.flat]
            held = [np.clip(c, 0, n - 1) for c, n in zip(across, self.section.shape, strict=True)]
            rho: Field = np.sqrt(along + np.expand_dims(self.section[np.ix_(*held)] ** 2, self.flat))
        else:
            rho = np.sqrt(z[:, None, None] + y[:, None] + x)
        return rho

    def allows(self, at: Axes) -> Mask:
        """Where the object may be: inside the bounds, and inside a flat frame in its slice."""
        allowed = _inside(at, self.bounds)
        if self.flat is not None:
            allowed &= self.framed(at) | ~self._slab(at, self.flat)
        return allowed

    def framed(self, at: Axes) -> Mask:
        """The cells in the user's box; at least one along its flat axis."""
        if self.frame is None:
            return np.zeros([len(c) for c in at], bool)
        if self.flat is None:
            return _inside(at, self.frame)
        tall = self.frame.copy()
        tall[:, self.flat] = self.bounds[:, self.flat]
        return _inside(at, tall) & self._slab(at, self.flat)

    def _slab(self, at: Axes, axis: int) -> Mask:
        """The layer of cells across an axis that holds the centre."""
        slab = np.zeros([len(c) for c in at], bool)
        slab.swapaxes(0, axis)[int(np.argmin(np.abs(at[axis] - self.centre[axis])))] = True
        return slab

    def window(self, shape: Sequence[int]) -> Window:
        """The bounds with a margin inside a view of `shape`; never empty."""
        around = np.maximum((self.bounds[1] - self.bounds[0]) * MARGIN, LEAST_MARGIN)
        low = np.clip(np.floor(self.bounds[0] - around + 0.5), 0, np.subtract(shape, 1)).astype(int)
        high = np.clip(np.ceil(self.bounds[1] + around + 0.5), low + 1, shape).astype(int)
        return Window.between(low, high)


def supports_of_box(box: NDArray[np.float64], view: View) -> list[Support]:
    """One support for a box; one for each likely height of a box in a single slice."""
    spacing, sides = view.spacing, box[1] - box[0]
    centre, radii = box.mean(axis=0), np.maximum(sides / 2, 0.5)
    axis = flat_axis(box)
    if axis is None:
        return [Support(centre, radii, box, box)]
    side = np.delete(sides * spacing, axis).mean()
    seen = section(view, box, axis)
    found = []
    for height, likely in FLAT_HEIGHTS.items():
        tall = radii.copy()
        tall[axis] = max(height * side / spacing[axis] / 2, 1.0)
        reach = np.full(3, FLAT_REACH[1])
        reach[axis] = FLAT_REACH[0]
        found.append(
            Support(centre, tall, np.stack([centre - tall * reach, centre + tall * reach]), box, axis, seen, likely)
        )
    return found


def flat_axis(box: NDArray[np.float64]) -> int | None:
    """The axis along which a box is one slice of an object; None for a box around all of it."""
    thin = np.flatnonzero(box[1] - box[0] <= 1)
    return int(thin[0]) if len(thin) == 1 else None


def supports_of_click(point: NDArray[np.float64], shape: Sequence[int], spacing: Sequence[float]) -> list[Support]:
    """Spheres around a click, from a few samples to half of the view."""
    radius = SMALLEST_CLICK * float(np.median(spacing))
    largest = max(max(np.multiply(shape, spacing)) / 2, radius)
    found: list[Support] = []
    while len(found) < MOST_SCALES and (not found or radius <= largest):
        radii = np.maximum(radius / np.asarray(spacing), 0.75)
        bounds = np.stack([point - CLICK_REACH * radii, point + CLICK_REACH * radii])
        found.append(Support(point, radii, bounds, None))
        radius *= CLICK_SCALES
    return found


def _inside(at: Axes, box: NDArray[np.float64]) -> Mask:
    """The cells whose centres lie in a box; the nearest ones where it is thinner than a cell."""
    sides = []
    for coordinates, low, high in zip(at, *box, strict=True):
        inside = (coordinates > low) & (coordinates < high)
        if not inside.any() and len(coordinates):
            inside[np.argmin(np.abs(coordinates - (low + high) / 2))] = True
        sides.append(inside)
    z, y, x = sides
    held: Mask = z[:, None, None] & y[:, None] & x
    return held
