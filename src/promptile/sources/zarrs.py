"""OME-Zarr (0.4 and 0.5) and plain Zarr arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import BaseZarrError

from promptile.errors import SourceError
from promptile.grid import PIXELS, Grid, Window
from promptile.sources.bad import one_line
from promptile.sources.identity import file_identity
from promptile.sources.image import Facts, ImageSource, choose_time, reopening
from promptile.sources.levels import Resolution, ladder

LARGEST_BLOCK = 2**28
"""Bytes of one decoded block that are still accepted."""

_SPACE = ("z", "y", "x")
_Place = tuple[Sequence[float], Sequence[float]]
"""Scale and translation along the axes in space, in array order."""


@dataclass(frozen=True)
class _Axes:
    """What the axes of an array mean."""

    names: tuple[str, ...]
    time: int | None = None

    def pick(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Of one value per axis, those of the axes in space."""
        return tuple(v for n, v in zip(self.names, values, strict=True) if n in _SPACE)

    def channels(self, shape: Sequence[int]) -> int:
        return shape[self.names.index("c")] if "c" in self.names else 1


@dataclass(frozen=True)
class _Level:
    """An array of the file and the factors of its samples."""

    array: Any
    factors: tuple[int, ...]


@reopening
def open_zarr(path: str | Path, *, time: int | None = None) -> ImageSource:
    """Open a Zarr array ``([t, [c, [z,]]] y, x)``, or the first image of an OME-Zarr group.

    Raises
    ------
    SourceError
        If it is neither, if it has other axes than t, c, z, y, x, or if it has several time points and `time`
        is none of them.
    """
    path = Path(path)
    with _reading(path):
        node: Any = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            return _plain(path, node, time)
        attributes = dict(node.attrs)
        attributes = attributes.get("ome", attributes)
        if "multiscales" not in attributes:
            inner = ", ".join(sorted(node.array_keys())[:3]) or "none"
            raise SourceError(f"{path.name} is a Zarr group and no OME-Zarr image: open one of its arrays ({inner})")
        return _ome(path, node, attributes, time)


def _plain(path: Path, array: Any, time: int | None) -> ImageSource:
    """An array without OME metadata: its own names of the axes, else z, y, x from the end, then c and t."""
    if array.ndim not in (2, 3, 4, 5):
        raise SourceError(f"{path.name} has {array.ndim} dimensions: 2 to 5 are read, as (t, c, z, y, x)")
    said = getattr(array.metadata, "dimension_names", None) or ()
    names = tuple(str(n).lower() for n in said) if said and all(said) else ("t", "c", "z", "y", "x")[-array.ndim :]
    axes = _check(path, names, array, time)
    grid = Grid.of(axes.pick(array.shape))
    level = _Level(array, (1,) * grid.ndim)
    return _source(path, [level], axes, _facts(path, grid, array, _numbers(axes.channels(array.shape))))


def _ome(path: Path, group: Any, attributes: Mapping[str, Any], time: int | None) -> ImageSource:
    scales = attributes["multiscales"][0]
    arrays = [group[d["path"]] for d in scales["datasets"]]
    named = scales.get("axes") or "tczyx"[-arrays[0].ndim :]
    names = tuple(a["name"] if isinstance(a, Mapping) else a for a in named)
    axes = _check(path, names, arrays[0], time)
    common = scales.get("coordinateTransformations", [])
    places = [_place(axes, [*d.get("coordinateTransformations", []), *common]) for d in scales["datasets"]]
    grid = _own_grid(group, axes.pick(arrays[0].shape)) or _grid(axes.pick(arrays[0].shape), places[0])
    levels = [_Level(arrays[0], (1,) * grid.ndim)]
    for array, place in zip(arrays[1:], places[1:], strict=True):
        factors = _factors(grid.shape, axes.pick(array.shape), places[0], place)
        if factors is not None:
            levels.append(_Level(array, factors))
    labels = tuple(str(c.get("label") or i) for i, c in enumerate(attributes.get("omero", {}).get("channels", []), 1))
    count = axes.channels(arrays[0].shape)
    channels = labels if len(set(labels)) == count else _numbers(count)
    return _source(path, levels, axes, _facts(path, grid, arrays[0], channels))


def _check(path: Path, names: tuple[str, ...], array: Any, time: int | None) -> _Axes:
    """The meaning of the axes; refuses arrays that are no image, or none that can be read by window."""
    known = {"t", "c", *_SPACE}
    if not known.issuperset(names) or len(set(names)) != array.ndim or names[-2:] != ("y", "x"):
        raise SourceError(f"{path.name} has the axes {', '.join(names)}: t, c, z, y, x are read, with y, x last")
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise SourceError(f"{path.name} has samples of the type {array.dtype}: integers or floats are needed")
    block = float(np.prod(np.array(array.chunks, float))) * array.dtype.itemsize
    if block > LARGEST_BLOCK:
        raise SourceError(f"{path.name} is stored in blocks of {block / 1e9:.1f} GB: store it in smaller ones")
    if 0 in array.shape:
        raise SourceError(f"{path.name} has the shape {array.shape}: there is no sample in it")
    count = array.shape[names.index("t")] if "t" in names else 1
    return _Axes(names, choose_time(path.name, count, time))


def _place(axes: _Axes, transforms: Sequence[Mapping[str, Any]]) -> _Place:
    """Scale and translation of all transforms, one after the other."""
    scale, shift = np.ones(len(axes.names)), np.zeros(len(axes.names))
    for transform in transforms:
        if transform["type"] == "scale":
            scale, shift = scale * transform["scale"], shift * transform["scale"]
        elif transform["type"] == "translation":
            shift = shift + transform["translation"]
    return axes.pick(scale.tolist()), axes.pick(shift.tolist())


def _grid(shape: Sequence[int], place: _Place) -> Grid:
    """World is ``(x, y[, z])`` in the file's own units; an index is a sample's centre, as OME-Zarr has it."""
    n = len(shape)
    matrix = np.eye(n + 1)
    matrix[:n, :n] = np.diag(place[0])[::-1]
    matrix[:n, n] = place[1][::-1]
    return Grid.of(shape, matrix, PIXELS)


def _own_grid(group: Any, shape: Sequence[int]) -> Grid | None:
    """The grid that our own writer adds, since OME-Zarr has no place for rotations and reference systems."""
    said = group.attrs.get("promptile", {})
    return Grid.of(shape, said["affine"], said["space"]) if {"affine", "space"} <= said.keys() else None


def _factors(fine: Sequence[int], coarse: Sequence[int], finest: _Place, place: _Place) -> tuple[int, ...] | None:
    """The factors of a coarser array; None if they are not whole, or if it does not cover the image.

    Many writers average blocks and yet give no translation, or that of level 0; taken by the letter their levels
    would lie up to half a coarse sample off. They are taken for what they are: block means.
    """
    scale0, shift0 = map(np.asarray, finest)
    ratio = np.divide(place[0], scale0)
    factors = np.rint(ratio)
    if not np.allclose(ratio, factors, rtol=1e-6) or (factors < 1).any():
        return None
    covers = [-(-n // int(f)) for n, f in zip(fine, factors, strict=True)] == list(coarse)
    tolerance = 1e-3 * float(np.abs(scale0).min())
    centred = np.allclose(place[1], shift0 + (factors - 1) / 2 * scale0, atol=tolerance)
    bare = np.allclose(place[1], shift0, atol=tolerance)
    return tuple(int(f) for f in factors) if covers and (centred or bare) else None


def _facts(path: Path, grid: Grid, array: Any, channels: tuple[str, ...]) -> Facts:
    return Facts(name=path.name, grid=grid, channels=channels, dtype=np.dtype(array.dtype).newbyteorder("="))


def _source(path: Path, levels: Sequence[_Level], axes: _Axes, facts: Facts) -> ImageSource:
    own = [level.factors for level in levels]
    rest = facts.grid.coarsen(own[-1])
    further = [
        tuple(a * b for a, b in zip(own[-1], more, strict=True)) for more in ladder(rest.shape, rest.spacing)[1:]
    ]

    def identify() -> dict[str, Any]:
        identity = file_identity(path)
        return identity if axes.time is None else identity | {"time": axes.time}

    return ImageSource(facts, [_Blocks(path, level, axes) for level in levels], identify, [*own, *further])


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(i + 1) for i in range(count))


class _Blocks(Resolution):
    """One array of the file, at one time."""

    def __init__(self, path: Path, level: _Level, axes: _Axes) -> None:
        super().__init__(axes.pick(level.array.shape), level.factors, axes.pick(level.array.chunks))
        self._path = path
        self._array = level.array
        self._axes = axes

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        with _reading(self._path):
            return np.stack([self._channel(window, c) for c in channels])

    def _channel(self, window: Window, channel: int) -> NDArray[Any]:
        inside = dict(zip(self._axes.pick(self._axes.names), window.slices, strict=True))
        inside |= {"t": self._axes.time or 0, "c": channel}
        part: NDArray[Any] = np.asarray(self._array[tuple(inside[name] for name in self._axes.names)])
        return part.astype(part.dtype.newbyteorder("="), copy=False)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn Zarr's errors, and those of metadata that is not as it should be, into ours."""
    try:
        yield
    except (BaseZarrError, LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
        raise SourceError(f"{path.name} cannot be read as Zarr: {one_line(error)}. Check the folder") from error
