"""One number per sample as a Cloud Optimized GeoTIFF, on the image's own grid."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from promptile.grid import LPS, PIXELS, Grid, Window
from promptile.sources.geotiff import centre_to_corner, corner_to_centre
from promptile.writers.origin import as_text

BLOCK = 512
"""Side of the blocks of a file, in samples."""

_GDAL_OPTIONS = {"GDAL_CACHEMAX": 64, "GDAL_NUM_THREADS": 2}
_LABELS = {"overview_resampling": "NEAREST"}
_VALUES = {"overview_resampling": "AVERAGE", "predictor": "YES"}


def write(
    parts: Iterable[tuple[Window, NDArray[Any]]],
    grid: Grid,
    path: Path,
    dtype: np.dtype[Any],
    origin: Mapping[str, Any],
) -> None:
    """Write samples that come window by window; where none come it is 0, and no value is nodata.

    Whole numbers are labels, whose overviews are by nearest neighbour; those of other numbers are means. Blocks of
    nothing but 0 take no space. Memory does not depend on the image.
    """
    options = _VALUES if dtype.kind == "f" else _LABELS
    with (
        warnings.catch_warnings(),
        rasterio.Env(**_GDAL_OPTIONS),
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # an image may have no place
        plain = Path(folder) / "plain.tif"  # COGs have their overviews first, so they cannot be written in one go
        _write_plain(parts, grid, plain, dtype, origin)
        sparse = {"sparse_ok": "TRUE", "bigtiff": "IF_SAFER"}
        rasterio.shutil.copy(plain, path, driver="COG", blocksize=BLOCK, compress="DEFLATE", **options, **sparse)


def _write_plain(
    parts: Iterable[tuple[Window, NDArray[Any]]],
    grid: Grid,
    path: Path,
    dtype: np.dtype[Any],
    origin: Mapping[str, Any],
) -> None:
    height, width = grid.shape
    profile: dict[str, Any] = {"width": width, "height": height, "count": 1, "dtype": dtype.name}
    layout = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "sparse_ok": True, "compress": "ZSTD"}
    with rasterio.open(path, "w", "GTiff", **profile, **layout, **_place_of(grid), bigtiff="IF_SAFER") as raster:
        raster.update_tags(**as_text(origin))
        for window, samples in parts:
            if samples.any():
                cut = rasterio.windows.Window(*window.start[::-1], *window.shape[::-1])
                raster.write(samples.astype(dtype), 1, window=cut)


def _place_of(grid: Grid) -> dict[str, Any]:
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
