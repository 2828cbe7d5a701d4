"""Prompt files: GeoJSON, GPKG, FlatGeobuf, shapefile, CSV, 3D Slicer markups, DICOM."""

from __future__ import annotations

import os
from pathlib import Path

from promptile.errors import PromptError
from promptile.grid import Grid
from promptile.prompts.marks import Kind, Mark, assemble, of_kind
from promptile.prompts.prompts import Prompts
from promptile.prompts.slicer import is_markups, read_markups
from promptile.prompts.structures import read_marks
from promptile.prompts.tables import TABLES, read_table
from promptile.prompts.vector_files import read_vectors
from promptile.structures import is_structures


def read_prompts(
    path: str | os.PathLike[str],
    grid: Grid,
    *,
    kind: Kind = "prompts",
    layer: str | None = None,
    denying: bool = False,
) -> Prompts:
    """Prompts from a file, in index coordinates of `grid`.

    A feature's ``object`` (a whole number or a name) says to which object it belongs. Without it, each positive
    point, box or polygon is an object of its own, and a negative point counts for all. ``label`` is 1 or 0
    (default 1), ``category`` is carried to the result. An axis-aligned rectangle is a box, any other polygon a
    mask prompt. The points of a MultiPoint are points; a MultiPolygon is one object.

    Parameters
    ----------
    path : path
        ``.geojson``, ``.gpkg``, ``.fgb``, ``.shp`` in any CRS (none: the image's own), ``.csv`` or ``.tsv`` in the
        image's world coordinates, ``.mrk.json``, or a DICOM structure set or segmentation.
    grid : Grid
        Of the image's level 0.
    kind : {"prompts", "points", "boxes"}
        ``boxes`` takes the bounds of every polygon; ``points`` refuses what is no point.
    layer : str, optional
        Which layer, where a file has several.
    denying : bool
        Whether there may be nothing but negative points, as corrections of what is found by text.

    Raises
    ------
    PromptError
        With the file's name, the place in it, what was got and what is needed.
    """
    file = Path(path)
    if not file.exists():
        raise PromptError(f"{file}: no such prompt file")
    try:
        if file.is_file() and not file.stat().st_size:
            raise PromptError("the file is empty (0 bytes)")
        marks = _read(file, grid, layer)
        if not marks:
            raise PromptError("there are no prompts in it")
        return assemble(of_kind(marks, kind), denying=denying)
    except PromptError as error:
        raise PromptError(f"{file.name}: {error}") from error.__cause__


def _read(file: Path, grid: Grid, layer: str | None) -> list[Mark]:
    if file.suffix.lower() in TABLES:
        return read_table(file, grid)
    if file.is_file() and is_structures(file):
        return read_marks(file, grid)
    if is_markups(file):
        return read_markups(file, grid)
    return read_vectors(file, grid, layer)
