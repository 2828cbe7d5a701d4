"""NumPy arrays as images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from promptile.errors import SourceError
from promptile.grid import Grid, Window
from promptile.sources.identity import array_identity
from promptile.sources.image import Facts, ImageSource
from promptile.sources.levels import Resolution, Valid


class ArraySource(ImageSource):
    """An array in memory as an image; it is not copied, but pickled by value.

    Parameters
    ----------
    array : array
        ``(y, x)`` or ``(z, y, x)``; with one more axis when `channel_axis` or a `grid` says so.
    grid : Grid, optional
        Where the samples are; without it, world coordinates are samples.
    channel_axis : int, optional
        Which axis counts the channels; 0 where `grid` has one dimension less than `array`.
    channels : sequence of str, optional
        Names; ``1`` to ``n`` without it.
    nodata : float, optional
    resampling : str
        How levels are made: ``mean``, or ``nearest`` for labels, whose means say nothing.
    name, modality : str
    """

    def __init__(
        self,
        array: NDArray[Any],
        grid: Grid | None = None,
        *,
        channel_axis: int | None = None,
        channels: Sequence[str] = (),
        nodata: float | None = None,
        resampling: Literal["mean", "nearest"] = "mean",
        name: str = "array",
        modality: str = "",
    ) -> None:
        array = _channels_first(array, grid, channel_axis)
        grid = grid or Grid.of(array.shape[1:])
        if grid.shape != array.shape[1:]:
            raise SourceError(f"The array has shape {array.shape[1:]} without channels, its grid {grid.shape}")
        names = tuple(channels) or tuple(str(i + 1) for i in range(len(array)))
        if len(names) != len(array):
            raise SourceError(f"The array has {len(array)} channels, but {len(names)} names were given")
        facts = Facts(
            name=name,
            grid=grid,
            channels=names,
            dtype=array.dtype,
            nodata=(nodata,) * len(array),
            modality=modality,
        )
        said = {"grid": (grid.affine, grid.space), "channels": names, "nodata": nodata}
        super().__init__(facts, [_Held(array)], lambda: array_identity(array, said) | {"name": name})
        self._array = array
        self._resampling = resampling
        self._again = partial(
            type(self),
            array,
            grid,
            channel_axis=0,
            channels=names,
            nodata=nodata,
            resampling=resampling,
            name=name,
            modality=modality,
        )

    def _coarse(self, window: Window, level: int, channels: Sequence[int]) -> NDArray[Any]:
        if self._resampling == "mean":
            return super()._coarse(window, level, channels)
        index = [
            np.minimum(np.arange(a, b) * f + f // 2, n - 1)
            for a, b, f, n in zip(window.start, window.stop, self.levels[level], self.grid.shape, strict=True)
        ]
        picked: NDArray[Any] = self._array[np.ix_(np.array(channels), *index)]
        return picked


class _Held(Resolution):
    """The array itself."""

    def __init__(self, array: NDArray[Any]) -> None:
        shape = array.shape[1:]
        super().__init__(shape, (1.0,) * len(shape), shape if len(shape) == 2 else (16, *shape[1:]))
        self._array = array

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        return self._array[:, *window.slices][list(channels)]

    def mask(self, window: Window) -> Valid | None:
        return None


def _channels_first(array: NDArray[Any], grid: Grid | None, channel_axis: int | None) -> NDArray[Any]:
    """The array as ``(c, *shape)`` with samples that models can take."""
    if channel_axis is None and grid is not None and array.ndim == grid.ndim + 1:
        channel_axis = 0
    if channel_axis is not None and not -array.ndim <= channel_axis < array.ndim:
        raise SourceError(f"An array of {array.ndim} dimensions has no channel axis {channel_axis}")
    array = array[None] if channel_axis is None else np.moveaxis(array, channel_axis, 0)
    if array.ndim - 1 not in (2, 3) or 0 in array.shape:
        raise SourceError(
            f"An array of shape {array.shape[1:]} is no image: pass (y, x) or (z, y, x),"
            " and channel_axis if it has channels"
        )
    if array.dtype == bool:
        return array.view(np.uint8)
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise SourceError(f"Samples of type {array.dtype} are not supported: pass integers or floats")
    return array.astype(array.dtype.newbyteorder("="), copy=False)
