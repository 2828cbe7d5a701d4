"""Measurements as a table, in a file or on the screen."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from promptile.disks import free_space
from promptile.errors import OutputError
from promptile.grid import LPS, Grid
from promptile.measuring.objects import Measured
from promptile.writers.placing import staged

SUFFIXES = (".csv", ".json")

_BOX = re.compile(r"[zyx](\d|_(min|max)(_mm)?)")
"""Columns that are a side of a bounding box."""


def table_of(measured: Iterable[Measured], grid: Grid) -> list[dict[str, Any]]:
    """A flat row per object, all with the same columns.

    The bounding box is ``z0 ... x1`` in index coordinates, and ``x_min_mm ... z_max_mm`` in the world (without
    ``_mm`` where that has no millimetres).
    """
    return [_row(one, grid) for one in measured]


def brief(row: dict[str, Any]) -> dict[str, Any]:
    """Sizes and intensities of a row: a screen has no room for bounding boxes."""
    return {name: value for name, value in row.items() if name not in ("id", "category") and not _BOX.fullmatch(name)}


def _row(one: Measured, grid: Grid) -> dict[str, Any]:
    axes, unit = "zyx"[-grid.ndim :], "_mm" if grid.space == LPS else ""
    corners = {f"{axis}{i}": corner[k] for i, corner in enumerate(one.bbox) for k, axis in enumerate(axes)}
    world = {
        f"{axis}_{end}{unit}": bound[k]
        for end, bound in zip(("min", "max"), one.bounds, strict=True)
        for k, axis in enumerate(axes[::-1])
    }
    return {"id": one.id, "category": one.category} | one.sizes | one.intensities | corners | world


def check_table(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Where a table will be written.

    Raises
    ------
    OutputError
        If it cannot be.
    """
    path = Path(path).expanduser()
    if not path.name.lower().endswith(SUFFIXES):
        raise OutputError(f"{path.name} is no table: use a name that ends with {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise OutputError(f"Folder {path.parent} does not exist: create it with `mkdir -p {path.parent}`")
    if path.is_dir():
        raise OutputError(f"{path} is a folder and is not replaced: choose another name")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} exists: add --overwrite to replace it, or choose another name")
    return path


def write_table(rows: list[dict[str, Any]], path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write rows as CSV, or as a JSON list; nothing half-written ever has the final name.

    Raises
    ------
    OutputError
        If the suffix is another one, the file exists, or the disk refuses.
    """
    path = check_table(path, overwrite=overwrite)
    try:
        with staged(path) as place, place.open("w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".json":
                json.dump(plain(rows), file, indent=1)
            elif rows:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(plain(rows))
    except OSError as error:
        space = f"Check space ({free_space(path)} free) and permissions of {path.parent}"
        raise OutputError(f"{path} cannot be written: {error.strerror}. {space}") from error
    return path


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with None instead of NaN, as JSON has no such number."""
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
