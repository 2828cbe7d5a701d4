"""One number per sample, like the strength of edges, as a Cloud Optimized GeoTIFF on the image's own grid."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from promptile.grid import Grid, Window
from promptile.writers.origin import as_text
from promptile.writers.placing import staged
from promptile.writers.raster import place_of

BLOCK = 1024
"""Side of the windows in which values are best given: whole blocks of the file."""
_STORED = 512
_GDAL_OPTIONS = {"GDAL_CACHEMAX": 64, "GDAL_NUM_THREADS": 2}


def write(
    parts: Iterable[tuple[Window, NDArray[np.float32]]], grid: Grid, path: Path, origin: Mapping[str, Any]
) -> None:
    """Write values that come window by window as float32; where none come it is 0, and no value is nodata.

    Overviews are means. Memory does not depend on the image. Nothing half-written ever has the final name.
    """
    height, width = grid.shape
    profile: dict[str, Any] = {"width": width, "height": height, "count": 1, "dtype": "float32"}
    layout = {"tiled": True, "blockxsize": _STORED, "blockysize": _STORED, "sparse_ok": True, "compress": "ZSTD"}
    with (
        warnings.catch_warnings(),
        rasterio.Env(**_GDAL_OPTIONS),
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        staged(path) as target,
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # an image may have no place
        plain = Path(folder) / "plain.tif"  # COGs have their overviews first, so they cannot be written in one go
        with rasterio.open(plain, "w", "GTiff", **profile, **layout, **place_of(grid), bigtiff="IF_SAFER") as raster:
            raster.update_tags(**as_text(origin))
            for window, samples in parts:
                if samples.any():
                    cut = rasterio.windows.Window(*window.start[::-1], *window.shape[::-1])
                    raster.write(samples.astype(np.float32), 1, window=cut)
        rasterio.shutil.copy(
            plain,
            target,
            driver="COG",
            blocksize=_STORED,
            compress="DEFLATE",
            predictor="YES",
            overview_resampling="AVERAGE",
            sparse_ok="TRUE",
            bigtiff="IF_SAFER",
        )
