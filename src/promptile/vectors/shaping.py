"""How outlines may differ from the edges of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from promptile.errors import UsageError


@dataclass(frozen=True)
class Shaping:
    """What is done to the outlines of objects when they are written; the default leaves them exact to the sample.

    Lengths are in the units of the image's coordinate system: metres for most maps, degrees for some, millimetres for
    medical images, samples for images without a place. Areas are in the measure of the table of objects: m² on the
    ground for maps, mm² for medical images, samples for the others.

    Parameters
    ----------
    simplify : float
        Vertices are left out as long as outlines move by no more than this. Neighbours still share their borders.
    smooth : int or bool
        How often corners are cut; True is 3 times. Neighbours still share their borders.
    min_area : float
        Smaller objects are left out.
    fill_holes : float
        Holes of background up to this area are filled; not those in which, or at whose border, other objects are.
    regularize : bool
        Right angles, for buildings. Neighbours need not share their borders then.
    """

    simplify: float = 0.0
    smooth: int = 0
    min_area: float = 0.0
    fill_holes: float = 0.0
    regularize: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value >= 0 and math.isfinite(value)):
                raise UsageError(f"--{field.name.replace('_', '-')} is {value}: give a number that is not negative")
        if self.smooth is True:
            object.__setattr__(self, "smooth", 3)
        if self.smooth > 5:
            raise UsageError(f"--smooth is {self.smooth}: give 5 or less, each doubles the number of vertices")

    def keeps(self, sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which objects of these `sizes` ``(n,)`` are written; those whose size is not known (NaN) are."""
        return ~(np.asarray(sizes, float) < self.min_area)

    @property
    def moves(self) -> bool:
        """Whether anything is done to outlines."""
        return self != Shaping(min_area=self.min_area)

    @property
    def plain(self) -> bool:
        """Whether nothing is to be done."""
        return self == Shaping()
