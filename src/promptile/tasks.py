"""`edges` and `proposals`: what else a model of everything can say of an image of any size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from promptile.engine import execute
from promptile.engine.job import Job
from promptile.engine.progress import Progress, silent
from promptile.engine.slices import Slices
from promptile.engine.tasks import Edges, Ranked, find_edges, find_proposals
from promptile.errors import UsageError
from promptile.models.protocols import Model
from promptile.sources import open_source
from promptile.sources.plane import Plane
from promptile.sources.protocol import Source


def edges(
    image: Any,
    out: str | os.PathLike[str],
    model: str | Model = "basin",
    *,
    asked: Edges | None = None,
    plane: int | None = None,
    slices: Slices | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write where an image has edges, from 0 to 1, as a float32 GeoTIFF.

    Parameters
    ----------
    image : Source, path or array
        See `promptile.open`.
    out : path
        Ends with ``.tif``. What tiles have answered is kept beside it until it is written, so that a search that was
        stopped goes on.
    model : str or Model
        One that finds objects by itself or answers points.
    asked : Edges, optional
    plane : int, optional
        Which slice of a volume, from 0; images have none.
    slices : Slices, optional
        Across which axis of the volume; by default that with the largest spacing.
    workers : int
        How many processes answer tiles.
    progress : callable, optional
        Called with (what, done, total).
    options
        ``tiling``, ``channels``, ``window`` as in `promptile.segment`.

    Raises
    ------
    PromptileError
        If the inputs do not fit each other, or a tile has no answer after a second try.
    """
    path = Path(out).expanduser()
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"Edges are a GeoTIFF, not {path.name}: use a name that ends with .tif")
    job = Job.prepare(_flat(image, plane, slices), model, everything=True, **options)
    with execute.choose(workers) as executor:
        return find_edges(job, asked or Edges(), path, executor, progress or silent)


def proposals(
    image: Any,
    out: str | os.PathLike[str],
    model: str | Model = "basin",
    *,
    asked: Ranked | None = None,
    plane: int | None = None,
    slices: Slices | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write all masks that a model can think of as a ranked table with boxes, scores, masks and outlines.

    Parameters
    ----------
    image : Source, path or array
        See `promptile.open`.
    out : path
        Ends with ``.parquet`` or ``.gpkg``.
    model : str or Model
        One that finds objects by itself or answers points.
    asked : Ranked, optional
    plane : int, optional
        Which slice of a volume, from 0; images have none.
    slices : Slices, optional
        Across which axis of the volume; by default that with the largest spacing.
    workers : int
        How many processes answer tiles.
    progress : callable, optional
        Called with (what, done, total).
    options
        ``tiling``, ``channels``, ``window`` as in `promptile.segment`.

    Raises
    ------
    PromptileError
        If the inputs do not fit each other, or a tile has no answer after a second try.
    """
    job = Job.prepare(_flat(image, plane, slices), model, everything=True, **options)
    with execute.choose(workers) as executor:
        return find_proposals(job, asked or Ranked(), Path(out).expanduser(), executor, progress or silent)


def _flat(image: Any, plane: int | None, slices: Slices | None) -> Source:
    """An image, or one slice of a volume."""
    source = open_source(image)
    if source.grid.ndim == 2:
        if plane is not None or slices is not None:
            raise UsageError(f"{source.name} is no volume: leave slice and axis out")
        return source
    axis = int((slices or Slices()).of(source.grid).axis)
    count = source.grid.shape[axis]
    if plane is None or not 0 <= plane < count:
        raise UsageError(f"{source.name} is a volume: say which slice, --slice 0 to {count - 1}, across axis {axis}")
    return Plane(source, axis, plane)
