"""One look for the whole image: which channels a model sees, and at which intensity range."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.errors import SourceError, UsageError
from promptile.grid import Window
from promptile.sources.protocol import Source

_log = logging.getLogger(__name__)

PRESETS: dict[str, tuple[float, float]] = {
    "soft": (-160.0, 240.0),
    "lung": (-1350.0, 150.0),
    "bone": (-450.0, 1050.0),
    "brain": (0.0, 80.0),
}
"""Windows for CT in Hounsfield units, as (low, high): the usual width and level of radiology workstations."""

PERCENTILES = (2.0, 98.0)

_WHOLE = 2**22
"""Images of up to this many samples are looked at whole."""

_SIDE = {2: 128, 3: 24}
"""Side of the windows that larger images are sampled by: about a tile of a file, so that little is read in vain."""

_WINDOWS, _ROUNDS, _ENOUGH = 64, 8, 2**17
"""Windows per round; further rounds, where most of the image holds no data, until there are enough samples."""

_SEED = 0


@dataclass(frozen=True)
class Rendering:
    """How samples become what a model sees: ``(sample - low) / (high - low)`` per channel.

    Parameters
    ----------
    channels : tuple of int
        Indices of the channels, in the order in which the model sees them.
    low, high : tuple of float
        Per channel the values that become 0 and 1.
    """

    channels: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        channels: Sequence[int] | None = None,
        window: str | tuple[float, float] = "auto",
        limit: int | None = None,
    ) -> Rendering:
        """The rendering of an image, the same on every call.

        Parameters
        ----------
        source : Source
        channels : sequence of int, optional
            Indices from 0. Without it: red, green, blue where the file names them, then the others but alpha.
        window : str or (low, high)
            ``auto`` (2 % to 98 % of a bounded sample without nodata), a CT preset, or ``LOW,HIGH``.
        limit : int, optional
            How many channels the model takes; the first ones are used, one is repeated.

        Raises
        ------
        UsageError
            If a channel does not exist, or the window is unknown or not one for this image.
        SourceError
            If nothing of the image can be read.
        """
        chosen = _choose(source, channels, limit)
        fixed = parse_window(window, source.modality)
        if fixed is not None:
            return cls(chosen, (fixed[0],) * len(chosen), (fixed[1],) * len(chosen))
        low, high = _range(source, chosen)
        return cls(chosen, low, high)

    def apply(self, samples: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """What a model sees of samples of exactly these channels.

        Parameters
        ----------
        samples : ndarray, shape (c, *shape)
            As the image has them, in the order of `channels`.
        valid : ndarray of bool, shape shape

        Returns
        -------
        ndarray of float32, shape (c, *shape)
            0 to 1 is the visible range; never clipped. 0 where not `valid`.
        """
        axes = (-1,) + (1,) * (samples.ndim - 1)
        exact = np.result_type(samples.dtype, np.float32)  # wide integers differ by less than float32 can say
        low = np.reshape(self.low, axes).astype(exact)
        width = np.reshape(np.subtract(self.high, self.low), axes).astype(exact)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = ((samples.astype(exact) - low) / width).astype(np.float32)
        return np.where(valid & np.isfinite(scaled), scaled, np.float32(0))

    def in_colour(self) -> Rendering:
        """The rendering of the first three channels, to be seen by people; of fewer, the first one in grey."""
        shown = [0, 1, 2] if len(self.channels) > 2 else [0, 0, 0]
        channels, low, high = (tuple(values[i] for i in shown) for values in (self.channels, self.low, self.high))
        return Rendering(tuple(map(int, channels)), low, high)

    def to_json(self) -> dict[str, Any]:
        """What a run keeps of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Rendering:
        """The rendering that `to_json` gave, also after a way through a file."""
        return cls(**{name: tuple(values) for name, values in stored.items()})


def parse_window(window: str | tuple[float, float], modality: str = "") -> tuple[float, float] | None:
    """The (low, high) that `window` names; None for ``auto``.

    Raises
    ------
    UsageError
        If it is no preset, not two numbers, or a preset in HU on an image that is not a CT.
    """
    if window == "auto":
        return None
    if isinstance(window, str) and window in PRESETS:
        if modality not in ("", "CT"):
            raise UsageError(
                f"Window {window!r} is in Hounsfield units but the image is {modality}: use --window auto or LOW,HIGH"
            )
        return PRESETS[window]
    try:
        low, high = (float(v) for v in (window.split(",") if isinstance(window, str) else window))
    except ValueError:
        raise UsageError(
            f"Window {window!r} is unknown: use auto, {', '.join(PRESETS)}, or two numbers LOW,HIGH"
        ) from None
    if not (low < high and math.isfinite(high - low)):
        raise UsageError(f"Window {window!r}: LOW must be below HIGH, and both must be numbers")
    return low, high


def _choose(source: Source, channels: Sequence[int] | None, limit: int | None) -> tuple[int, ...]:
    count = len(source.channels)
    if channels is None:
        first = [source.channels.index(c) for c in ("red", "green", "blue") if c in source.channels]
        rest = [i for i in range(count) if i not in first and source.channels[i] != "alpha"]
        channels = first + rest if len(first) == 3 else sorted(first + rest)
    wrong = [c for c in channels if not 0 <= c < count]
    if wrong or not channels:
        raise UsageError(f"Channel {[c + 1 for c in wrong]} does not exist: the image has channels 1 to {count}")
    if limit is None:
        return tuple(channels)
    return tuple(channels[:limit]) if len(channels) >= limit else (channels[0],) * limit


def _range(source: Source, channels: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low and high percentile per channel over a bounded sample of the valid samples."""
    unique = sorted(set(channels))
    values = _sample(source, unique)
    bounds: dict[int, tuple[float, float]] = {}
    for channel, row in zip(unique, values, strict=True):
        finite = row[np.isfinite(row)]
        low, high = np.percentile(finite, PERCENTILES) if finite.size else (0.0, 1.0)
        if not low < high:  # a nearly constant channel: the few samples that differ are all there is to see
            low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        bounds[channel] = (float(low), float(high) if low < high else float(low) + 1.0)
    return tuple(bounds[c][0] for c in channels), tuple(bounds[c][1] for c in channels)


def _sample(source: Source, channels: Sequence[int]) -> NDArray[Any]:
    """``(c, n)``: valid samples of the whole image, or of windows spread over it at random."""
    parts: list[NDArray[Any]] = []
    unreadable: list[SourceError] = []
    for windows in _rounds(source.grid.shape):
        for window in windows:
            try:
                parts.append(source.read(window, 0, channels)[:, source.valid(window, 0)])
            except SourceError as error:  # one bad block of a large file must not forbid the rest
                unreadable.append(error)
        if sum(part.shape[1] for part in parts) >= _ENOUGH:
            break
    if unreadable:
        if not parts:
            raise unreadable[0]
        _log.warning("The intensity range leaves out %d places that cannot be read: %s", len(unreadable), unreadable[0])
    return np.concatenate(parts, axis=1)


def _rounds(shape: Sequence[int]) -> Iterator[list[Window]]:
    """Windows to look at, until there is enough."""
    if math.prod(shape) <= _WHOLE:
        yield [Window.of(shape)]
        return
    random = np.random.default_rng(_SEED)
    size = tuple(min(_SIDE[len(shape)], n) for n in shape)
    last = [n - s + 1 for n, s in zip(shape, size, strict=True)]
    for _ in range(_ROUNDS):
        yield [Window(tuple(map(int, corner)), size) for corner in random.integers(0, last, (_WINDOWS, len(shape)))]
