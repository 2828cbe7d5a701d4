"""`ImageSource`: one implementation of the `Source` protocol for every format.

A format says what it holds (`Facts`, and a `Resolution` per resolution in the file); everything else, that is
checks, levels and validity, is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import numpy as np
from numpy.typing import NDArray

from promptile.errors import SourceError, UsageError
from promptile.grid import Grid, Window
from promptile.memory import MemoryCache
from promptile.sources.levels import Means, Resolution, Valid, ladder, pieces

_CHANNELS_AT_ONCE = 16
_pooled: MemoryCache[NDArray[Any]] = MemoryCache(2**26)
"""Pieces of coarser levels that files do not hold, of all images together: windows overlap, and up to eight of a
volume see each sample."""

Identify = Callable[[], Mapping[str, Any]]
"""Computes what `Source.identity` is, when it is first asked for."""

Options = ParamSpec("Options")
Opener = Callable[Concatenate[str | Path, Options], "ImageSource"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a file says about its image without reading a sample."""

    name: str
    grid: Grid
    channels: tuple[str, ...]
    dtype: np.dtype[Any]
    nodata: tuple[float | None, ...] = ()
    """Per channel; empty: no channel has any."""
    modality: str = ""


class ImageSource:
    """An image behind the `Source` protocol.

    It is pickled as how to open it again: open files and locks stay in their process.

    Parameters
    ----------
    facts : Facts
    resolutions : sequence of Resolution
        What the file holds, level 0 first, then finer before coarser.
    identify : callable
        Computes `identity` when it is first asked for.
    levels : sequence of tuples of int, optional
        Factors per level, if the file has its own; otherwise powers of two.
    """

    def __init__(
        self,
        facts: Facts,
        resolutions: Sequence[Resolution],
        identify: Identify,
        levels: Sequence[tuple[int, ...]] = (),
    ) -> None:
        self._facts = facts
        self._resolutions = tuple(resolutions)
        self._identify = identify
        self._levels = tuple(levels) or ladder(facts.grid.shape, facts.grid.spacing)
        nodata = facts.nodata or (None,) * len(facts.channels)
        self._nodata = tuple(_as_sample(value, facts.dtype) for value in nodata)
        self._again: partial[Any] | None = None
        self._key = object()

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self._again is None:
            return super().__reduce__()
        # The identity goes along: who gets the image need not read all over it to know which one it is.
        return self._again, (), {"identity": self.identity}

    @property
    def place(self) -> dict[str, Any]:
        """What `promptile.open` needs to open it again; empty for what is not opened from a path."""
        if self._again is None or not self._again.args or not isinstance(self._again.args[0], Path):
            return {}
        return {"image": str(self._again.args[0])} | dict(self._again.keywords)

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.grid.shape))
        return f"<{type(self).__name__} {self.name}: {shape}, {len(self.channels)} × {self.dtype}>"

    @property
    def name(self) -> str:
        return self._facts.name

    @property
    def grid(self) -> Grid:
        return self._facts.grid

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return self._levels

    @property
    def channels(self) -> tuple[str, ...]:
        return self._facts.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._facts.dtype

    @property
    def nodata(self) -> float | None:
        return next((v for v in self._facts.nodata if v is not None), None)

    @property
    def modality(self) -> str:
        return self._facts.modality

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        return self._identify()

    def read(self, window: Window, level: int = 0, channels: Sequence[int] | None = None) -> NDArray[Any]:
        chosen = range(len(self.channels)) if channels is None else tuple(channels)
        self._check(window, level, chosen)
        if window.empty or not chosen:
            return np.zeros((len(chosen), *window.shape), self.dtype)
        if level == 0:
            return self._resolutions[0].samples(window, chosen)
        return self._coarse(window, level, chosen)

    def valid(self, window: Window, level: int = 0) -> Valid:
        self._check(window, level, ())
        if window.empty:
            return np.zeros(window.shape, bool)
        if level == 0:
            return self._valid(self._resolutions[0], window)
        factors = self.levels[level]
        resolution = self._nearest(factors)
        if resolution.ratio == factors:
            return self._valid(resolution, window)
        out = np.empty(window.shape, bool)
        for piece in pieces(window, factors, resolution):
            some = partial(self._any, piece, factors)
            out[piece.within(window).slices] = _pooled.get((self._key, level, piece), some)
        return out

    def _any(self, coarse: Window, factors: tuple[int, ...]) -> Valid:
        resolution = self._nearest(factors)
        means = Means(coarse, factors, resolution)
        return means.any(self._valid(resolution, means.fine))

    def _coarse(self, window: Window, level: int, channels: Sequence[int]) -> NDArray[Any]:
        """Block means, piece by piece and few channels at a time: memory stays bounded."""
        factors = self.levels[level]
        resolution = self._nearest(factors)
        if resolution.ratio == factors:  # the file holds this level
            return resolution.samples(window, channels)
        out = np.empty((len(channels), *window.shape), self.dtype)
        chosen = tuple(channels)
        for piece in pieces(window, factors, resolution):
            means = partial(self._means, piece, factors, chosen)
            out[:, *piece.within(window).slices] = _pooled.get((self._key, level, piece, chosen), means)
        return out

    def _means(self, coarse: Window, factors: tuple[int, ...], channels: Sequence[int]) -> NDArray[Any]:
        resolution = self._nearest(factors)
        means = Means(coarse, factors, resolution)
        out = np.empty((len(channels), *coarse.shape), self.dtype)
        mask = resolution.mask(means.fine)
        for first in range(0, len(channels), _CHANNELS_AT_ONCE):
            some = channels[first : first + _CHANNELS_AT_ONCE]
            for i, samples in enumerate(resolution.samples(means.fine, some)):
                value = self._nodata[some[i]]
                valid = self._holds(samples, value)
                valid = valid if mask is None else valid & mask
                out[first + i] = means.means(samples, valid, 0 if value is None else value)
        return out

    def _nearest(self, factors: Sequence[int]) -> Resolution:
        """The coarsest resolution of the file that is still as fine as the level."""
        return [
            r
            for r in self._resolutions
            if all(have <= f * (1 + 1e-9) for have, f in zip(r.ratio, factors, strict=True))
        ][-1]

    def _valid(self, resolution: Resolution, window: Window) -> Valid:
        """Where the mask says so and at least one channel but alpha holds something."""
        mask = resolution.mask(window)
        valid = np.ones(window.shape, bool) if mask is None else mask
        looked = [i for i, name in enumerate(self.channels) if name != "alpha"]
        if not np.issubdtype(self.dtype, np.floating) and any(self._nodata[i] is None for i in looked):
            return valid
        holds = np.zeros(window.shape, bool)
        for first in range(0, len(looked), _CHANNELS_AT_ONCE):
            some = looked[first : first + _CHANNELS_AT_ONCE]
            for i, samples in zip(some, resolution.samples(window, some), strict=True):
                holds |= self._holds(samples, self._nodata[i])
            if holds.all():
                break
        return valid & holds

    def _holds(self, samples: NDArray[Any], nodata: float | None) -> Valid:
        """Which samples of one channel are finite and not nodata."""
        finite = np.isfinite(samples) if np.issubdtype(samples.dtype, np.floating) else np.ones(samples.shape, bool)
        return finite if nodata is None else finite & (samples != nodata)

    def _check(self, window: Window, level: int, channels: Sequence[int]) -> None:
        if not 0 <= level < len(self.levels):
            raise UsageError(f"{self.name} has no level {level}: use 0 to {len(self.levels) - 1}")
        shape = tuple(-(-n // f) for n, f in zip(self.grid.shape, self.levels[level], strict=True))
        if window.ndim != len(shape) or min(window.shape) < 0 or window not in Window.of(shape):
            raise UsageError(
                f"The window from {window.start} of shape {window.shape} does not lie inside {self.name}, which has"
                f" shape {shape} at level {level}: clip it first"
            )
        wrong = [c for c in channels if not 0 <= c < len(self.channels)]
        if wrong:
            raise UsageError(f"{self.name} has no channel {wrong}: use 0 to {len(self.channels) - 1}")


def reopening(opener: Opener[Options]) -> Opener[Options]:
    """Let what an opener of paths returns be pickled as a call of the same opener with the same options."""

    @wraps(opener)
    def opened(path: str | Path, /, *args: Options.args, **options: Options.kwargs) -> ImageSource:
        path = Path(path).absolute()  # another process may have another working directory
        source = opener(path, *args, **options)
        source._again = partial(opened, path, *args, **options)
        return source

    return opened


def choose_time(name: str, count: int, time: int | None) -> int | None:
    """The time point to read of `count`; None for an image without time.

    Raises
    ------
    SourceError
        If there are several and `time` is none of them.
    """
    if count == 1 and time in (None, 0):
        return None
    if count == 1:
        raise SourceError(f"{name} has one time point, not {time}: leave --time out")
    if time is None or not 0 <= time < count:
        raise SourceError(f"{name} has {count} time points: choose one with --time 0..{count - 1}")
    return time


def _as_sample(value: float | None, dtype: np.dtype[Any]) -> Any:
    """A nodata value as a sample of `dtype`; None if no sample can have it, or if it is not finite anyway."""
    if value is None or not np.isfinite(value):
        return None
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return dtype.type(int(value)) if value == int(value) and limits.min <= value <= limits.max else None
    with np.errstate(over="ignore"):
        return dtype.type(value)
