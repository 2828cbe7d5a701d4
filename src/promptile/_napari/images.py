"""Which image stands behind a layer, and where its samples are in the viewer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import ArrayLike, NDArray

from promptile._napari.lazy import LazyArray
from promptile._napari.placement import KEY, OPTIONS
from promptile.errors import SourceError
from promptile.grid import Grid, Window
from promptile.sources import open_source
from promptile.sources.image import Facts, ImageSource
from promptile.sources.levels import Resolution, Valid
from promptile.sources.protocol import Source

CHANNEL_AXES = ("channel", "channels", "c", "band", "bands")
_NOT_SPACE = (*CHANNEL_AXES, "time", "t", "frame", "series")
"""Labels of axes along which an image is not one image but several."""

_RGBA = ("red", "green", "blue", "alpha")
_COUNTED = 2**22  # samples of arrays up to this size all count for their identity
_LOOKS = 16  # in larger ones, this many windows do
_SIDE = 64


@dataclass(frozen=True, eq=False)
class Shown:
    """An image layer of the viewer with the image behind it.

    Parameters
    ----------
    layer : napari.layers.Image
    source : Source
    fixed : tuple of int
        Where the layer's leading axes, which are none of the image's (time, channel), stood when it was looked up.
    """

    layer: Image
    source: Source
    fixed: tuple[int, ...] = ()

    @classmethod
    def of(cls, viewer: Any, layer: Image) -> Shown:
        """The image behind a layer of a viewer, at the place where the viewer's sliders are now."""
        fixed = _fixed(layer, viewer.dims.point)
        return cls(layer, source_of(layer, viewer.dims.point), fixed)

    @property
    def grid(self) -> Grid:
        return self.source.grid

    def to_index(self, world: ArrayLike) -> NDArray[np.float64]:
        """``(n, ndim)``: index coordinates of level 0 of places ``(n, k)`` in the viewer's world.

        The world's last axes are the layer's; where the world has fewer, the layer is where it was looked up.
        """
        return self._to_layer(world)[:, len(self.fixed) :]

    def here(self, world: ArrayLike) -> NDArray[np.bool_]:
        """``(n,)``: which places are in this image and not at another time of the layer; channels are one image."""
        at = self._to_layer(world)[:, : len(self.fixed)]
        counts = [str(label).lower() not in CHANNEL_AXES for label in self.layer.axis_labels[: len(self.fixed)]]
        near = np.abs(at - self.fixed) <= 0.5
        return np.asarray(near[:, counts].all(axis=1), bool)

    def _to_layer(self, world: ArrayLike) -> NDArray[np.float64]:
        """``(n, layer.ndim)``: data coordinates of the layer."""
        places = np.atleast_2d(np.asarray(world, float))
        missing = self.layer.ndim - places.shape[1]
        if missing > 0:
            here = self.to_world(np.zeros((1, self.grid.ndim)))[:, :missing]
            places = np.hstack([np.broadcast_to(here, (len(places), missing)), places])
        inverse = np.linalg.inv(to_world_matrix(self.layer))
        return move(inverse, places[:, -self.layer.ndim :])

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """``(n, layer.ndim)``: the viewer's world of index coordinates ``(n, ndim)`` of level 0."""
        places = np.atleast_2d(np.asarray(index, float))
        fixed = np.broadcast_to(np.array(self.fixed, float), (len(places), len(self.fixed)))
        return move(to_world_matrix(self.layer), np.hstack([fixed, places]))


def to_world_matrix(layer: Layer) -> NDArray[np.float64]:
    """``(ndim + 1, ndim + 1)``: from homogeneous data coordinates of a layer to the viewer's world."""
    n = layer.ndim
    matrix = np.eye(n + 1)
    matrix[:-1, -1] = layer.data_to_world(np.zeros(n))
    for axis in range(n):
        matrix[:-1, axis] = np.subtract(layer.data_to_world(np.eye(n)[axis]), matrix[:-1, -1])
    return matrix


def move(matrix: NDArray[np.floating[Any]], places: ArrayLike) -> NDArray[np.float64]:
    """Places ``(n, ndim)`` through a homogeneous matrix."""
    moved: NDArray[np.float64] = np.asarray(places, float) @ matrix[:-1, :-1].T + matrix[:-1, -1]
    return moved


def source_of(layer: Layer, point: Sequence[float] = ()) -> Source:
    """The image behind a layer.

    A layer of our reader is its file, opened again, with all its channels. Any other is the array that it shows:
    in the viewer's world where the layer says so in its metadata, else in samples.

    Parameters
    ----------
    layer : napari.layers.Layer
    point : sequence of float
        Where the viewer's sliders are, in its world: time and channels of arrays are read there.

    Raises
    ------
    SourceError
        If it is no image, has no two or three axes of space, or its file is gone or another one by now.
    """
    if not isinstance(layer, Image):
        raise SourceError(f"{layer.name!r} is a {type(layer).__name__} layer: choose an image layer")
    grid = _known_grid(layer)
    path = layer.metadata.get(KEY, {}).get("path")
    if grid is None or path is None or not isinstance(_finest(layer), LazyArray):
        return LayerSource(layer, grid, _fixed(layer, point))
    known = layer.metadata[KEY]
    options = {name: known[name] for name in OPTIONS if name in known}
    source = open_source(path, **options)
    if source.grid.shape != grid.shape:
        raise SourceError(f"{path} has changed since {layer.name!r} was opened: remove the layer and open it again")
    return source


def _known_grid(layer: Image) -> Grid | None:
    """The grid that our metadata gives the layer; None without any, or if the layer's shape is another one."""
    known = layer.metadata.get(KEY, {}).get("grid")
    if known is None:
        return None
    grid = Grid.of(known["shape"], known["affine"], known["space"])
    return grid if _shape(layer)[-grid.ndim :] == grid.shape else None


def _finest(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _shape(layer: Image) -> tuple[int, ...]:
    """Of level 0, without the axis of colours."""
    shape = tuple(int(n) for n in _finest(layer).shape)
    return shape[:-1] if layer.rgb else shape


def _leading(layer: Image) -> int:
    """How many of the layer's axes come before those of space."""
    grid = _known_grid(layer)
    if grid is not None:
        return int(layer.ndim - grid.ndim)
    labels = [str(label).lower() for label in layer.axis_labels]
    others = [axis for axis, label in enumerate(labels) if label in _NOT_SPACE]
    first = max([layer.ndim - 3, *(axis + 1 for axis in others)], default=0)
    if layer.ndim - max(first, 0) < 2:
        raise SourceError(
            f"{layer.name!r} has the axes {', '.join(labels)}: needed are two or three axes of space, the last ones"
        )
    return max(first, 0)


def _fixed(layer: Image, point: Sequence[float]) -> tuple[int, ...]:
    """Where the layer's leading axes are when the viewer's sliders are at `point`."""
    count = _leading(layer)
    if not count:
        return ()
    here = np.rint(layer.world_to_data(point)[:count]) if len(point) else np.zeros(count)
    return tuple(np.clip(here, 0, np.subtract(_shape(layer)[:count], 1)).astype(int).tolist())


class LayerSource(ImageSource):
    """The array that a layer shows, read by window whatever it is: NumPy, Dask, Zarr, or what indexes like them.

    Parameters
    ----------
    layer : napari.layers.Image
    grid : Grid, optional
        Where the samples are; without it, world coordinates are samples.
    fixed : tuple of int
        Where to read along the leading axes that are none of the image's.
    """

    def __init__(self, layer: Image, grid: Grid | None = None, fixed: tuple[int, ...] = ()) -> None:
        array, shape = _finest(layer), _shape(layer)[len(fixed) :]
        dtype = np.dtype(array.dtype)
        if 0 in shape:
            raise SourceError(f"{layer.name!r} is empty: it has the shape {shape}")
        facts = Facts(
            name=layer.name,
            grid=grid or Grid.of(shape),
            channels=_RGBA[: array.shape[-1]] if layer.rgb else ("1",),
            dtype=np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("="),
        )
        said = f"{shape} {dtype.str} {facts.grid.affine} {facts.grid.space} {fixed}"
        held = _Held(array, shape, fixed, facts)
        super().__init__(facts, [held], partial(_identity, held, said))


class _Held(Resolution):
    """A layer's array."""

    def __init__(self, array: Any, shape: Sequence[int], fixed: tuple[int, ...], facts: Facts) -> None:
        chunks = getattr(array, "chunks", None) or array.shape
        sides = [c if isinstance(c, int) else max(c) for c in chunks[len(fixed) : len(fixed) + len(shape)]]
        super().__init__(shape, (1.0,) * len(shape), sides)
        self.channels = len(facts.channels)
        self._array = array
        self._fixed = fixed
        self._dtype = facts.dtype

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        samples = np.asarray(self._array[(*self._fixed, *window.slices)])
        colours = np.moveaxis(samples, -1, 0) if samples.ndim > window.ndim else samples[None]
        return colours[list(channels)].astype(self._dtype, copy=False)

    def mask(self, window: Window) -> Valid | None:
        if self.channels < len(_RGBA):
            return None
        (alpha,) = self.samples(window, [_RGBA.index("alpha")])
        opaque: Valid = alpha > 0
        return opaque


def _identity(held: _Held, said: str) -> Mapping[str, Any]:
    """What was said of an array and some of its samples; all of them where there are few."""
    digest = hashlib.sha256(said.encode())
    window = Window.of(held.shape)
    looks = [window]
    if window.size > _COUNTED:
        shape = tuple(min(n, _SIDE) for n in held.shape)
        room = np.subtract(held.shape, shape)
        shares = np.random.default_rng(0).random((_LOOKS, len(shape)))  # the same places for the same shape
        looks = [Window(tuple(np.rint(share * room).astype(int).tolist()), shape) for share in shares]
    for look in looks:
        digest.update(np.ascontiguousarray(held.samples(look, range(held.channels))).tobytes())
    return {"name": "layer", "bytes": window.size * held.channels, "digest": digest.hexdigest()}


def hidden_axes(viewer: Any, image: Shown) -> tuple[int, ...]:
    """The image's axes that the viewer cuts across: none of an image, one of a volume in 2D."""
    offset = viewer.dims.ndim - image.grid.ndim
    return tuple(axis for axis in range(image.grid.ndim) if axis + offset not in viewer.dims.displayed)


def view_window(viewer: Any, image: Shown) -> Window:
    """The part of the image that is on the screen now, one sample thick along `hidden_axes`; empty if none is.

    A view in 3D shows all of the image.
    """
    if viewer.dims.ndisplay == 3:
        return image.grid.window
    corners = np.tile(np.array(viewer.dims.point, float), (4, 1))
    half = np.array(viewer.canvas.viewbox_size(viewer.layers), float) / viewer.scene.camera.zoom / 2
    signs = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    corners[:, list(viewer.dims.displayed)] = np.array(viewer.scene.camera.center)[-2:] + signs * half
    places = image.to_index(corners)
    low, high = np.floor(places.min(axis=0) + 0.5), np.floor(places.max(axis=0) + 0.5)
    return Window.between(low.astype(int).tolist(), (high + 1).astype(int).tolist()).clip(image.grid.shape)


def level_seen(viewer: Any, image: Shown) -> int:
    """The level whose samples are closest in size to a pixel of the screen."""
    hidden = hidden_axes(viewer, image)
    seen = [axis for axis in range(image.grid.ndim) if axis not in hidden]
    sides = np.linalg.norm(to_world_matrix(image.layer)[:-1, len(image.fixed) : -1], axis=0) * viewer.scene.camera.zoom
    pixels = [np.mean(np.log(sides[seen] * np.array(factors)[seen])) for factors in image.source.levels]
    return int(np.argmin(np.abs(pixels)))
