"""Labels as a Cloud Optimized GeoTIFF on the image's own grid."""

from __future__ import annotations

from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from promptile.grid import tiles
from promptile.writers import cog
from promptile.writers.origin import label_type
from promptile.writers.protocol import Result

FAILURES: tuple[type[Exception], ...] = (OSError, RasterioError, CPLE_BaseError)

_STRIDE = 4 * cog.BLOCK
"""Side of the windows in which labels are copied: whole blocks, 16 MB."""


def write(result: Result, path: Path) -> None:
    """Write the ids of the first layer, 0 is background, in the smallest of uint8, uint16 and uint32 that holds them.

    No value is nodata: that nothing was found somewhere is an answer.
    """
    windows = (tile.core for tile in tiles(result.grid.shape, _STRIDE, 0))
    parts = ((window, result.read_labels(window)) for window in windows)
    cog.write(parts, result.grid, path, label_type(result), result.origin)
