"""Labels as an OME-Zarr label image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.errors import BaseZarrError

from promptile.grid import LPS, Grid, tiles
from promptile.writers.origin import label_type
from promptile.writers.protocol import Result

FAILURES: tuple[type[Exception], ...] = (OSError, BaseZarrError)

_CHUNK = {2: 512, 3: 64}
_SHARD = {2: 2048, 3: 256}


def write(result: Result, path: Path) -> None:
    """Write ids, 0 is background, as OME-Zarr 0.5; memory does not depend on the image.

    OME-Zarr 0.5 knows scale and translation only. The attribute ``promptile`` holds the whole affine and the space.
    """
    grid, objects = result.grid, result.objects
    group = zarr.create_group(path, zarr_format=3)
    columns = [c for c in ("category", "score", "prompt") if c in objects]
    rows = zip(objects["id"], objects[columns].to_dict("records"), strict=True)
    properties = [{"label-value": int(number)} | _plain(row) for number, row in rows]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [_multiscale(grid, path.stem)],
        "image-label": {"properties": properties} if properties else {},
    }
    group.attrs["promptile"] = {"affine": grid.affine, "space": grid.space, "origin": dict(result.origin)}
    shard = (_SHARD[grid.ndim],) * grid.ndim
    dtype = label_type(result)
    labels = group.create_array(
        "0",
        shape=grid.shape,
        dtype=dtype,
        chunks=(_CHUNK[grid.ndim],) * grid.ndim,
        shards=shard,
        compressors=ZstdCodec(level=1),
        dimension_names=_axes(grid),
    )
    for tile in tiles(grid.shape, shard, 0):
        part = result.read_labels(tile.core)
        if part.any():
            labels[tile.core.slices] = part.astype(dtype)


def _multiscale(grid: Grid, name: str) -> dict[str, Any]:
    unit = {"unit": "millimeter"} if grid.space == LPS else {}
    scale, translation = _scale(grid)
    place = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
    return {
        "name": name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in _axes(grid)],
        "datasets": [{"path": "0", "coordinateTransformations": place}],
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
