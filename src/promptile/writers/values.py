"""One number per sample, like the strength of edges, as a Cloud Optimized GeoTIFF on the image's own grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Grid, Window
from promptile.writers import cog
from promptile.writers.placing import staged

BLOCK = 2 * cog.BLOCK
"""Side of the windows in which values are best given: whole blocks of the file."""


def write(
    parts: Iterable[tuple[Window, NDArray[np.float32]]], grid: Grid, path: Path, origin: Mapping[str, Any]
) -> None:
    """Write values that come window by window as float32; where none come it is 0.

    Nothing half-written ever has the final name.
    """
    with staged(path) as target:
        cog.write(parts, grid, target, np.dtype(np.float32), origin)
