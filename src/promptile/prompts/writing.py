"""Prompts to files that `promptile.prompts.reading` takes back: GeoJSON, GPKG, CSV and 3D Slicer markups."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes as outlines
from shapely.geometry import Polygon

from promptile.disks import free_space
from promptile.errors import OutputError
from promptile.grid import LPS, PIXELS, Grid
from promptile.prompts.prompts import Prompts
from promptile.prompts.regions import Outline, Raster
from promptile.prompts.slicer import SUFFIX
from promptile.prompts.types import Prompt, Region

_WRITERS = (".geojson", ".gpkg", ".csv", SUFFIX)
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_prompts(prompts: Prompts, path: str | os.PathLike[str], grid: Grid) -> None:
    """Write prompts to a file; one that is there is replaced.

    Every mark carries its object's id, so that reading gives the same prompts with the same ids.

    Parameters
    ----------
    prompts : Prompts
    path : path
        ``.geojson`` (in WGS 84) or ``.gpkg`` (in the image's CRS) for images; ``.mrk.json`` for medical volumes, which
        names the objects that have names; ``.csv`` for points and for boxes along the world's axes.
    grid : Grid
        Of the image's level 0.

    Raises
    ------
    OutputError
        If the format cannot hold these prompts.
    """
    file = Path(path)
    suffix = next((s for s in _WRITERS if file.name.lower().endswith(s)), "")
    if not suffix:
        raise OutputError(f"{file.name}: prompts are written as {', '.join(_WRITERS)}")
    if not prompts.objects:
        raise OutputError(f"{file.name}: there are no prompts to write")
    write = {".csv": _write_table, SUFFIX: _write_markups}.get(suffix, _write_vectors)
    unfinished = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        write(prompts, unfinished, grid)
        os.replace(unfinished, file)
    except OutputError as error:
        raise OutputError(f"{file.name}: {error}") from error.__cause__
    except OSError as error:
        space = f"Check space ({free_space(file)} free) and permissions of {file.parent}"
        raise OutputError(f"{file} cannot be written: {error.strerror or error}. {space}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write_vectors(prompts: Prompts, file: Path, grid: Grid) -> None:
    """GeoJSON or GPKG."""
    if grid.ndim == 3:
        raise OutputError(f"a vector file cannot hold prompts of a volume: write {SUFFIX} or .csv")
    shapes, *values = zip(*(row for prompt in prompts for row in _features(prompt)), strict=True)
    geometries = shapely.transform(np.array(shapes, object), lambda xy: grid.to_world(xy[:, ::-1]))
    columns = dict(zip(("object", "label", "category"), values, strict=True))
    if file.suffix.lower() == ".geojson":
        _write_geojson(file, _to_degrees(geometries, grid), columns)
        return
    if grid.space == PIXELS:
        raise OutputError("the image has no CRS, which a GPKG needs: write .geojson or .csv")
    fields = [np.array(column, object if name == "category" else int) for name, column in columns.items()]
    pyogrio.raw.write(
        file,
        geometry=shapely.to_wkb(geometries),
        field_data=fields,
        fields=list(columns),
        layer="prompts",
        driver="GPKG",
        geometry_type="Unknown",
        crs=grid.space,
    )


def _features(prompt: Prompt) -> Iterator[tuple[Any, int, int, str]]:
    """Geometry in ``(column, row)``, object, label and category of each mark of an object."""
    for point, label in zip(prompt.points, prompt.labels, strict=True):
        yield shapely.Point(point[::-1]), prompt.id, int(label), prompt.category
    if prompt.box is not None:
        (y0, x0), (y1, x1) = prompt.box
        yield shapely.box(x0, y0, x1, y1), prompt.id, 1, prompt.category
    if prompt.region is not None:
        yield _polygons(prompt.region), prompt.id, 1, prompt.category


def _polygons(region: Region) -> Any:
    """A mask prompt as a multipolygon in ``(column, row)``."""
    if isinstance(region, Outline):
        return shapely.MultiPolygon([Polygon(r[0][:, ::-1], [h[:, ::-1] for h in r[1:]]) for r in region.parts])
    if isinstance(region, Raster):
        first = np.subtract(region.window.start[::-1], 0.5)
        found = [shapely.geometry.shape(s) for s, _ in outlines(region.mask.astype(np.uint8), mask=region.mask)]
        return shapely.transform(shapely.MultiPolygon(found), lambda xy: xy + first)
    raise OutputError(f"a mask prompt of type {type(region).__name__} has no polygon")


def _to_degrees(geometries: NDArray[np.object_], grid: Grid) -> NDArray[np.object_]:
    """Geometries in WGS 84; as they are where the image has no CRS."""
    if grid.space == PIXELS:
        return geometries
    transformer = pyproj.Transformer.from_crs(grid.space, "EPSG:4326", always_xy=True)
    moved: NDArray[np.object_] = shapely.transform(
        geometries, lambda xy: np.stack(transformer.transform(*xy.T), axis=-1)
    )
    return moved


def _write_geojson(file: Path, geometries: NDArray[np.object_], columns: dict[str, tuple[Any, ...]]) -> None:
    names = list(columns)
    features = [
        {
            "type": "Feature",
            "properties": dict(zip(names, values, strict=True)),
            "geometry": shapely.geometry.mapping(geometry),
        }
        for geometry, values in zip(geometries, zip(*columns.values(), strict=True), strict=True)
    ]
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def _write_table(prompts: Prompts, file: Path, grid: Grid) -> None:
    axes = ("x", "y", "z")[: grid.ndim]
    columns = [*axes, *(f"{a}0" for a in axes), *(f"{a}1" for a in axes)]
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened, lineterminator="\n")
        rows.writerow([*columns, "label", "object", "category"])
        for prompt in prompts:
            if prompt.region is not None:
                raise OutputError(f"a table cannot hold the mask prompt of object {prompt.id}: write .geojson or .gpkg")
            for place, label in zip(grid.to_world(prompt.points).tolist(), prompt.labels, strict=True):
                rows.writerow([*place, *[""] * (2 * grid.ndim), int(label), prompt.id, prompt.category])
            if prompt.box is not None:
                corners = np.sort(grid.to_world(_along_axes(prompt.box, grid)), axis=0)
                rows.writerow([*[""] * grid.ndim, *corners.ravel().tolist(), 1, prompt.id, prompt.category])


def _along_axes(box: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """`box`, if the grid's axes are the world's: the box of a turned grid is none in the world."""
    if np.count_nonzero(grid.matrix[:-1, :-1]) > grid.ndim:
        raise OutputError(
            "the image is turned in the world, so that a table cannot hold its boxes: "
            f"write {SUFFIX if grid.space == LPS else '.geojson or .gpkg'}"
        )
    return box


def _write_markups(prompts: Prompts, file: Path, grid: Grid) -> None:
    """One point list for all points, and an ROI for each box, turned as the volume is."""
    if grid.space != LPS:
        raise OutputError(f"{SUFFIX} files hold prompts of medical volumes: write .geojson, .gpkg or .csv")
    points: list[dict[str, Any]] = []
    rois: list[dict[str, Any]] = []
    for prompt in prompts:
        if prompt.region is not None:
            raise OutputError(f"markups cannot hold the mask prompt of object {prompt.id}")
        text = prompt.name or str(prompt.id)
        for place, label in zip(grid.to_world(prompt.points).tolist(), prompt.labels, strict=True):
            number = str(len(points) + 1)
            points.append(_control_point(number, f"{text}-{number}", text if label else f"-{text}", place))
        if prompt.box is not None:
            rois.append(_roi(prompt.box, text, grid))
    lists = [{"type": "Fiducial", **_LPS, "controlPoints": points}] if points else []
    file.write_text(json.dumps({"@schema": _SCHEMA, "markups": lists + rois}, indent=1), encoding="utf-8")


_LPS = {"coordinateSystem": "LPS", "coordinateUnits": "mm"}


def _control_point(number: str, label: str, description: str, position: list[float]) -> dict[str, Any]:
    return {
        "id": number,
        "label": label,
        "description": description,
        "position": position,
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }


def _roi(box: NDArray[np.float64], text: str, grid: Grid) -> dict[str, Any]:
    centre = grid.to_world(box.mean(axis=0)).tolist()
    directions = grid.matrix[:3, 2::-1] / np.array(grid.spacing[::-1])  # columns along x, y, z
    return {
        "type": "ROI",
        "roiType": "Box",
        **_LPS,
        "center": centre,
        "size": ((box[1] - box[0]) * grid.spacing)[::-1].tolist(),
        "orientation": directions.ravel().tolist(),
        "controlPoints": [_control_point("1", text, text, centre)],
    }
