"""Objects as polygons with attributes: GeoPackage, GeoJSON, FlatGeobuf, GeoParquet, shapefile. Streamed."""

from __future__ import annotations

import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio
from pyarrow import parquet
from pyproj import CRS

from promptile.counts import counted
from promptile.errors import RunError
from promptile.grid import Grid
from promptile.vectors.shaping import Shaping
from promptile.writers.features import GEOMETRY, Features
from promptile.writers.origin import as_text
from promptile.writers.protocol import Result

FAILURES: tuple[type[Exception], ...] = (
    OSError,
    pa.ArrowException,
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
)

_DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf", ".shp": "ESRI Shapefile"}

_SHORT = {"touches_edge": "touch_edge"}
"""Shapefiles have names of up to ten letters."""

_EARTH_M = 6_371_000.0
_EXACT = 0.01
"""How exactly positions are kept where they must be converted, in samples."""

logger = logging.getLogger("promptile")


def write(result: Result, path: Path, shaping: Shaping) -> None:
    """Write one MultiPolygon per object; objects without samples are left out, and those that `shaping` leaves out.

    GeoJSON is in WGS 84 with as many decimals as the samples need, after RFC 7946; the other formats keep the
    image's coordinate system. Without one, coordinates are the grid's world: ``(x, y)`` of samples, y down.
    """
    suffix = path.suffix.lower()
    longest = _longest_edge(result.grid) if suffix == ".geojson" else None
    features = Features(result, shaping, _SHORT if suffix == ".shp" else {}, longest)
    origin = as_text(result.origin)
    try:
        if suffix == ".parquet":
            _write_parquet(features, path, origin)
        else:
            _write_layer(features, path, _DRIVERS[suffix], _options(suffix, result.grid, origin))
    except Exception:
        if features.failure is not None:
            raise features.failure from None
        raise
    if features.left_out and result.layers:
        lost = f"The labels lack {counted(features.left_out, 'object')} of the table"
        raise RunError(f"{lost}: compute the run again with --restart")
    if features.left_out:
        logger.warning("%s without samples left out of %s", counted(features.left_out, "object"), path.name)


def _write_layer(features: Features, path: Path, driver: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "'crs' was not provided")  # an image may have none
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(features.schema, features.batches()),
            path,
            layer=path.stem,
            driver=driver,
            geometry_name=GEOMETRY,
            geometry_type="MultiPolygon",
            crs=features.space,
            **options,
        )
    for text in {str(warning.message) for warning in said}:  # GDAL's, like a text too long for a shapefile
        logger.warning("%s: %s", path.name, text if len(text) <= 160 else f"{text[:60]} ... {text[-90:]}")


def _options(suffix: str, grid: Grid, origin: dict[str, str]) -> dict[str, Any]:
    if suffix == ".gpkg":
        return {"layer_metadata": origin}
    if suffix == ".geojson":
        return {"layer_options": {"RFC7946": "YES", "COORDINATE_PRECISION": str(_decimals(grid))}}
    return {"layer_options": {"ENCODING": "UTF-8"}} if suffix == ".shp" else {}


def _decimals(grid: Grid) -> int:
    """Decimals of a degree that tell positions apart to `_EXACT` samples; seven (1 cm) at least."""
    crs = CRS.from_user_input(grid.space)
    unit = crs.axis_info[0].unit_conversion_factor  # radians or metres
    size = min(grid.spacing) * unit / (1 if crs.is_geographic else _EARTH_M)
    return max(7, math.ceil(-math.log10(_EXACT * math.degrees(size))))


def _longest_edge(grid: Grid) -> float | None:
    """The longest edge of a map that is still straight in degrees, to `_EXACT` samples; None where all are.

    An edge of length L bends by about L² / 8R times the tangent of the latitude: a factor of four is left for that.
    """
    crs = CRS.from_user_input(grid.space)
    if crs.is_geographic:
        return None
    unit = crs.axis_info[0].unit_conversion_factor
    bend = _EXACT * min(grid.spacing) * unit
    return math.sqrt(8 * _EARTH_M * bend) / 2 / unit


def _write_parquet(features: Features, path: Path, origin: dict[str, str]) -> None:
    """GeoParquet 1.1: WKB in a Parquet column and a note about it in the file's metadata."""
    column = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon"],
        "crs": CRS.from_user_input(features.space).to_json_dict() if features.space else None,
        "orientation": "counterclockwise",
    }
    geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
    schema = features.schema.with_metadata({"geo": json.dumps(geo), **origin})
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in features.batches():
            writer.write_batch(batch)
