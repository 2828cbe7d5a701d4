"""The one protocol behind which every image lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Grid, Window


@runtime_checkable
class Source(Protocol):
    """An image that is read by window.

    Opening reads headers only. `read` and `valid` may be called from several threads, and hold
    no more memory than a small multiple of what they return.
    """

    @property
    def name(self) -> str:
        """A short name for people: the file's name without folders."""
        ...

    @property
    def grid(self) -> Grid:
        """Where the samples of level 0 are."""
        ...

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Per level the whole-number factor along each axis; level 0 is ``(1, ..., 1)``.

        The samples of level ``i`` are those of ``grid.coarsen(levels[i])``, block means of level 0.
        """
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """A name per channel: ``red``, ``green``, ``blue``, ``alpha`` where the file says so."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples of all channels and levels: whole numbers or floats."""
        ...

    @property
    def nodata(self) -> float | None:
        """The value of samples without data, of the first channel that has one; None where the file names none."""
        ...

    @property
    def modality(self) -> str:
        """``CT``, ``MR`` or such where the file says so, else empty: presets in HU need ``CT``."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this image from another, cheap for any size, JSON-able: name, bytes, digest."""
        ...

    def read(self, window: Window, level: int = 0, channels: Sequence[int] | None = None) -> NDArray[Any]:
        """The samples of a window.

        Parameters
        ----------
        window : Window
            Inside the level's grid, in its index coordinates.
        level : int
            0 is full resolution.
        channels : sequence of int, optional
            Which ones, from 0, in this order; all of them by default.

        Returns
        -------
        ndarray of `dtype`, shape (c, *window.shape)
            The caller's own. Where the image has no data they mean nothing: see `valid`.

        Raises
        ------
        UsageError
            If there is no such level or channel, or the window reaches beyond the grid.
        SourceError
            If the file cannot be read there.
        """
        ...

    def valid(self, window: Window, level: int = 0) -> NDArray[np.bool_]:
        """Where the image has data, and not nodata, a masked sample, alpha 0 or NaN.

        A sample with data in at least one channel is valid, and a coarse one if any fine one in it is.

        Parameters
        ----------
        window : Window
        level : int
            As in `read`, which also says what is raised.

        Returns
        -------
        ndarray of bool, shape window.shape
        """
        ...
