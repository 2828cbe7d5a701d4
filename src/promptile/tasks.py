"""`edges` and `proposals`: what else a model of everything can say of an image of any size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from promptile.engine import execute
from promptile.engine.job import Job
from promptile.engine.progress import Progress, silent
from promptile.engine.tasks import Edges, Ranked, find_edges, find_proposals
from promptile.errors import UsageError
from promptile.models.protocols import Model


def edges(
    image: Any,
    out: str | os.PathLike[str],
    model: str | Model = "basin",
    *,
    asked: Edges | None = None,
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
    job = Job.prepare(image, model, everything=True, **options)
    with execute.choose(workers) as executor:
        return find_edges(job, asked or Edges(), path, executor, progress or silent)


def proposals(
    image: Any,
    out: str | os.PathLike[str],
    model: str | Model = "basin",
    *,
    asked: Ranked | None = None,
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
    job = Job.prepare(image, model, everything=True, **options)
    with execute.choose(workers) as executor:
        return find_proposals(job, asked or Ranked(), Path(out).expanduser(), executor, progress or silent)
