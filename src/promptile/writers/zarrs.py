"""Labels as an OME-Zarr label image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.errors import BaseZarrError

from promptile.grid import LPS, Grid, Window, tiles
from promptile.measures import measured_columns
from promptile.writers.origin import label_type
from promptile.writers.protocol import Result

FAILURES: tuple[type[Exception], ...] = (OSError, BaseZarrError)

_CHUNK = {2: 512, 3: 64}
_SHARD = {2: 2048, 3: 256}

_MOST_LISTED = 10_000
"""Up to how many objects their attributes are listed: whoever opens the file reads the list as a whole."""


def write(result: Result, path: Path) -> None:
    """Write the ids of the first layer, 0 is background, as OME-Zarr 0.5 with coarser levels.

    A coarser level has the id of the first of the samples that each of its samples covers. Memory does not depend on
    the image. OME-Zarr 0.5 knows scale and translation only. The attribute ``promptile`` holds the whole affine and
    the space.
    """
    grid, objects = result.grid, result.objects
    group = zarr.create_group(path, zarr_format=3)
    if len(objects) > _MOST_LISTED:
        objects = objects.iloc[:0]
    columns = [c for c in ("category", "score", "prompt") if c in objects] + measured_columns(objects)
    rows = zip(objects["id"], objects[columns].to_dict("records"), strict=True)
    properties = [{"label-value": int(number)} | _plain(row) for number, row in rows]
    levels = _levels(grid)
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [_multiscale(grid, levels, path.stem)],
        "image-label": {"properties": properties} if properties else {},
    }
    group.attrs["promptile"] = {"affine": grid.affine, "space": grid.space, "origin": dict(result.origin)}
    dtype = label_type(result)
    read: Callable[[Window], NDArray[Any]] = result.read_labels
    finer, side = levels[0], _SHARD[grid.ndim]
    for number, factors in enumerate(levels):
        steps = tuple(f // g for f, g in zip(factors, finer, strict=True))
        side = max(side // max(steps), _CHUNK[grid.ndim])
        labels = group.create_array(
            str(number),
            shape=grid.coarsen(factors).shape,
            dtype=dtype,
            chunks=(_CHUNK[grid.ndim],) * grid.ndim,
            shards=(side,) * grid.ndim,
            compressors=ZstdCodec(level=1),
            dimension_names=_axes(grid),
        )
        _fill(labels, read, steps)
        read, finer = partial(_read, labels), factors


def _fill(labels: zarr.Array[Any], read: Callable[[Window], NDArray[Any]], steps: tuple[int, ...]) -> None:
    """Fill a level, shard by shard, with every second sample of the next finer one along the axes it is coarser."""
    for tile in tiles(labels.shape, labels.shards or labels.shape, 0):
        start = [a * f for a, f in zip(tile.core.start, steps, strict=True)]
        stop = [(b - 1) * f + 1 for b, f in zip(tile.core.stop, steps, strict=True)]
        part = read(Window.between(start, stop))[tuple(slice(None, None, f) for f in steps)]
        if part.any():
            labels[tile.core.slices] = part.astype(labels.dtype)


def _read(labels: zarr.Array[Any], window: Window) -> NDArray[Any]:
    return np.asarray(labels[window.slices])


def _levels(grid: Grid) -> list[tuple[int, ...]]:
    """Factors of the levels: axes are halved as long as they are longer than a chunk."""
    levels = [(1,) * grid.ndim]
    while max(shape := grid.coarsen(levels[-1]).shape) > _CHUNK[grid.ndim]:
        levels.append(tuple(f * 2 if n > _CHUNK[grid.ndim] else f for f, n in zip(levels[-1], shape, strict=True)))
    return levels


def _multiscale(grid: Grid, levels: list[tuple[int, ...]], name: str) -> dict[str, Any]:
    unit = {"unit": "millimeter"} if grid.space == LPS else {}
    datasets = []
    for number, factors in enumerate(levels):
        scale, translation = _scale(grid.coarsen(factors))
        place = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
        datasets.append({"path": str(number), "coordinateTransformations": place})
    return {
        "name": name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in _axes(grid)],
        "datasets": datasets,
    }


def _scale(grid: Grid) -> tuple[list[float], list[float]]:
    """Scale and translation along the array's axes: exact for an upright grid, for any other the spacing alone."""
    axes = grid.matrix[:-1, :-1][::-1]  # rows in the order of the array's axes
    if np.array_equal(axes, np.diag(np.diag(axes))):
        return np.diag(axes).tolist(), grid.matrix[:-1, -1][::-1].tolist()
    return list(grid.spacing), [0.0] * grid.ndim


def _axes(grid: Grid) -> list[str]:
    return ["z", "y", "x"][-grid.ndim :]


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """JSON values: NumPy's scalars as Python's, NaN and missing as null."""
    values = {str(k): v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
    return {k: None if v != v else v for k, v in values.items()}
