"""A table of proposals as a file, each with its outline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio import features

from promptile.errors import UsageError
from promptile.grid import LPS, PIXELS, Grid
from promptile.writers.cog import transform_of
from promptile.writers.placing import staged

SUFFIXES = (".parquet", ".gpkg")


def check_table(path: Path) -> None:
    """Refuse a file that is no table.

    Raises
    ------
    UsageError
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"Proposals are a table, not {path.name}: use a name that ends with {' or '.join(SUFFIXES)}")


def write_table(table: pd.DataFrame, grid: Grid, path: Path) -> None:
    """Write proposals with their outlines in the image's coordinate system; lists become text in GeoPackage.

    Parameters
    ----------
    table : DataFrame
        With ``bbox`` (first row and column, last ones plus one) and ``rle``, run lengths in that box column by column.
    grid : Grid
    path : Path
    """
    transform = transform_of(grid)
    outlines = [
        _outline(masks_of(runs, box), box, transform) for runs, box in zip(table["rle"], table["bbox"], strict=True)
    ]
    crs = None if grid.space in (PIXELS, LPS) else grid.space
    frame = geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(outlines, crs=crs), crs=crs)
    with staged(path) as target:
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(target, index=False)
        else:
            for name in ("bbox", "rle"):
                frame[name] = [" ".join(map(str, values)) for values in frame[name]]
            with warnings.catch_warnings():  # images without a place have none, which is no mistake
                warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
                frame.to_file(target, layer="proposals", driver="GPKG", engine="pyogrio")


def masks_of(runs: Sequence[int], box: Sequence[int]) -> NDArray[np.uint8]:
    """``(rows, columns)`` of a box: 1 where the mask is."""
    shape = (box[2] - box[0], box[3] - box[1])
    values = np.arange(len(runs)) % 2
    return np.repeat(values, runs).reshape(shape[::-1]).T.astype(np.uint8)


def _outline(samples: NDArray[np.uint8], box: Sequence[int], transform: Affine) -> shapely.MultiPolygon:
    """The outline of a mask along the edges of its samples, in world coordinates."""
    here = transform * Affine.translation(box[1], box[0])
    parts = [shapely.geometry.shape(part) for part, _ in features.shapes(samples, samples > 0, 4, here)]
    return shapely.MultiPolygon(parts)
