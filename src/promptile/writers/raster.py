"""Labels as a Cloud Optimized GeoTIFF on the image's own grid."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from promptile.grid import LPS, PIXELS, Grid, tiles
from promptile.sources.geotiff import centre_to_corner, corner_to_centre
from promptile.writers.origin import as_text, label_type
from promptile.writers.protocol import Result

FAILURES: tuple[type[Exception], ...] = (OSError, RasterioError, CPLE_BaseError)

_BLOCK = 512
_STRIDE = 4 * _BLOCK
"""Side of the windows in which labels are copied: whole blocks, 16 MB."""

_GDAL_OPTIONS = {"GDAL_CACHEMAX": 64, "GDAL_NUM_THREADS": 2}


def write(result: Result, path: Path) -> None:
    """Write the ids of the first layer, 0 is background, in the smallest of uint8, uint16 and uint32 that holds them.

    No value is nodata: that nothing was found somewhere is an answer. Overviews are by nearest neighbour, blocks
    without objects take no space. Memory does not depend on the image.
    """
    with (
        warnings.catch_warnings(),
        rasterio.Env(**_GDAL_OPTIONS),
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # an image may have no place
        plain = Path(folder) / "plain.tif"  # COGs have their overviews first, so they cannot be written in one go
        _write_plain(result, plain)
        rasterio.shutil.copy(
            plain,
            path,
            driver="COG",
            blocksize=_BLOCK,
            compress="DEFLATE",
            overview_resampling="NEAREST",
            sparse_ok="TRUE",
            bigtiff="IF_SAFER",
        )


def _write_plain(result: Result, path: Path) -> None:
    height, width = result.grid.shape
    dtype = label_type(result)
    profile: dict[str, Any] = {"width": width, "height": height, "count": 1, "dtype": dtype.name}
    layout = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK, "sparse_ok": True, "compress": "ZSTD"}
    with rasterio.open(path, "w", "GTiff", **profile, **layout, **place_of(result.grid), bigtiff="IF_SAFER") as raster:
        raster.update_tags(**as_text(result.origin))
        for tile in tiles(result.grid.shape, _STRIDE, 0):
            window = tile.core
            labels = result.read_labels(window)
            if labels.any():
                cut = rasterio.windows.Window(*window.start[::-1], *window.shape[::-1])
                raster.write(labels.astype(dtype), 1, window=cut)


def place_of(grid: Grid) -> dict[str, Any]:
    """Transform and coordinate system as rasterio takes them; nothing for an image without place."""
    if grid.space == PIXELS and grid == Grid.of(grid.shape):
        return {}
    crs = None if grid.space in (PIXELS, LPS) else grid.space
    return {"transform": transform_of(grid), "crs": crs}


def transform_of(grid: Grid) -> Affine:
    """The transform of a grid, with integers on corners.

    Half a sample forth and back may cost the last bit of the offset. Of the numbers that mean the same centre the
    shortest is taken: that is what the image's own file says, and comparisons for equality stay true.
    """
    transform = centre_to_corner(grid.matrix)
    for digits in range(10, 17):
        offsets = [float(f"{v:.{digits}g}") for v in (transform.c, transform.f)]
        short = Affine(transform.a, transform.b, offsets[0], transform.d, transform.e, offsets[1])
        if np.array_equal(corner_to_centre(short), grid.matrix):
            return short
    return transform
