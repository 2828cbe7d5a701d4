"""One plane of a volume as an image of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.errors import SourceError
from promptile.grid import Grid, Window
from promptile.sources.image import Facts, ImageSource
from promptile.sources.levels import Resolution, Valid
from promptile.sources.protocol import Source


class Plane(ImageSource):
    """The samples of a volume at one index of one axis, read by window like any other image.

    Its grid is its own: rows and columns are the volume's other two axes in their order, spaced as in the volume,
    and the first sample lies at the origin. Only what is asked for is read.

    Parameters
    ----------
    volume : Source
        With three axes.
    axis : int
        The axis that the plane is perpendicular to.
    index : int
        Where on that axis, at level 0.
    """

    def __init__(self, volume: Source, axis: int, index: int) -> None:
        if volume.grid.ndim != 3 or axis not in range(3) or not 0 <= index < volume.grid.shape[axis]:
            raise SourceError(f"{volume.name} has no plane {index} along axis {axis}: its shape is {volume.grid.shape}")
        rows, columns = across(axis)
        spacing = volume.grid.spacing[columns], volume.grid.spacing[rows]
        facts = Facts(
            name=f"{volume.name}, {'zyx'[axis]} = {index}",
            grid=Grid.of(
                [volume.grid.shape[a] for a in (rows, columns)],
                np.array([[0, spacing[0], 0], [spacing[1], 0, 0], [0, 0, 1]]),
                volume.grid.space,
            ),
            channels=volume.channels,
            dtype=volume.dtype,
            nodata=(volume.nodata,) * len(volume.channels),
            modality=volume.modality,
        )
        super().__init__(
            facts,
            [_Cut(volume, axis, index, level) for level, factors in enumerate(volume.levels) if factors[axis] == 1],
            lambda: dict(volume.identity) | {"plane": [axis, index]},
        )
        self._again = partial(Plane, volume, axis, index)
        self._volume = volume
        self.axis = axis
        self.index = index

    @property
    def place(self) -> dict[str, Any]:
        """Where the volume is."""
        return dict(getattr(self._volume, "place", {}))


def across(axis: int) -> tuple[int, int]:
    """The other two axes of a volume, in order: the rows and columns of its planes along `axis`."""
    rows, columns = (a for a in range(3) if a != axis)
    return rows, columns


def thick(window: Window, axis: int, index: int) -> Window:
    """The window of a volume that is one sample thick: a window of its plane at `index` of `axis`."""
    return Window(
        (*window.start[:axis], index, *window.start[axis:]),
        (*window.shape[:axis], 1, *window.shape[axis:]),
    )


class _Cut(Resolution):
    """A plane of one level of a volume that is as fine as level 0 across it."""

    def __init__(self, volume: Source, axis: int, index: int, level: int) -> None:
        factors = [volume.levels[level][a] for a in across(axis)]
        shape = volume.grid.coarsen(volume.levels[level]).shape
        flat = [shape[a] for a in across(axis)]
        super().__init__(flat, factors, flat)
        self._volume, self._axis, self._index, self._level = volume, axis, index, level

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        found = self._volume.read(thick(window, self._axis, self._index), self._level, channels)
        flat: NDArray[Any] = np.take(found, 0, axis=1 + self._axis)
        return flat

    def mask(self, window: Window) -> Valid | None:
        valid = self._volume.valid(thick(window, self._axis, self._index), self._level)
        flat: Valid = np.take(valid, 0, axis=self._axis)
        return flat
