"""Prompts from vector files, in any coordinate reference system."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray

from promptile.errors import PromptError
from promptile.grid import LPS, PIXELS, Grid
from promptile.prompts.marks import Mark, parse_fields
from promptile.prompts.polygons import Move, to_shapes

_FIELDS = ("label", "object", "category")
_GEOJSON = (".geojson", ".json")
_ROUNDED = 1e-6
_POINTS, _POLYGONS = ("Point", "MultiPoint"), ("Polygon", "MultiPolygon")


@dataclass(frozen=True, eq=False)
class _Layer:
    """The features of one layer."""

    geometries: NDArray[np.object_]
    fields: dict[str, NDArray[Any]]
    crs: str | None


def read_vectors(file: Path, grid: Grid, layer: str | None = None) -> list[Mark]:
    """Marks from whatever vector file GDAL opens: points, and polygons in 2D."""
    try:
        found = _read(file, layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.GeometryError) as error:
        raise PromptError(
            f"it cannot be read ({' '.join(str(error).split(';')[0].split())}); "  # after it come hints on drivers
            "prompts are .geojson, .gpkg, .fgb, .shp, .csv, .tsv or .mrk.json files"
        ) from error
    except shapely.errors.GEOSException as error:
        raise PromptError(f"it has a geometry that cannot be used ({' '.join(str(error).split())})") from error
    names = _check_geometries(found.geometries, grid.ndim)
    move = _mover(file, grid, found)
    found = replace(found, geometries=_whole_turns(found, grid))
    shapes: list[Any] = [None] * len(names)
    points = np.flatnonzero(np.isin(names, _POINTS))
    polygons = np.flatnonzero(np.isin(names, _POLYGONS))
    parts, owners = shapely.get_parts(found.geometries[points], return_index=True)
    moved = move(shapely.get_coordinates(parts, include_z=grid.ndim == 3))
    _check_moved(moved, points[owners])
    splits = np.flatnonzero(np.diff(owners)) + 1
    for i, group in zip(points, np.split(moved, splits), strict=False):
        shapes[i] = list(group)
    if len(polygons):
        boxes_and_outlines = to_shapes(found.geometries[polygons], lambda xy: move(xy)[:, ::-1], polygons + 1)
        for i, shape in zip(polygons, boxes_and_outlines, strict=True):
            shapes[i] = [shape]
    return _marks(shapes, found.fields)


def _marks(shapes: Sequence[Sequence[Any]], fields: dict[str, NDArray[Any]]) -> list[Mark]:
    marks = []
    empty = [None] * len(shapes)
    columns = (fields.get(name, empty) for name in _FIELDS)
    for number, (found, label, owner, category) in enumerate(zip(shapes, *columns, strict=True), 1):
        where = f"feature {number}"
        try:
            known = parse_fields(label, owner, category, found)
        except ValueError as error:
            raise PromptError(f"{where}: {error}") from None
        marks += [Mark(where, shape, *known) for shape in found]
    return marks


def _read(file: Path, layer: str | None) -> _Layer:
    name = _choose_layer(file, layer)
    known = pyogrio.read_info(file, layer=name)["fields"]
    wanted = [field for field in known if field.lower() in _FIELDS]
    meta, _, geometry, columns = pyogrio.raw.read(file, layer=name, columns=wanted)
    fields = {n.lower(): column for n, column in zip(meta["fields"], columns, strict=True)}
    return _Layer(shapely.from_wkb(geometry), fields, meta["crs"])


def _choose_layer(file: Path, layer: str | None) -> str:
    """The layer that was asked for, else the only one with geometry, else the one called ``prompts``."""
    names = [str(name) for name, geometry in pyogrio.list_layers(file) if geometry is not None]
    if layer is not None and layer not in names:
        raise PromptError(f"it has no layer {layer!r}; its layers are {', '.join(names)}")
    if layer is None and len(names) > 1 and "prompts" not in names:
        raise PromptError(
            f"it has {len(names)} layers, {', '.join(names)}: call the one with the prompts 'prompts', "
            "or name it in Prompts.read(..., layer=...)"
        )
    if not names:
        raise PromptError("it has no layer with geometries: prompts are points and polygons")
    return layer or (names[0] if len(names) == 1 else "prompts")


def _check_geometries(geometries: NDArray[np.object_], ndim: int) -> NDArray[np.str_]:
    """The type of each geometry, if all of them can be prompts."""
    if not len(geometries):
        raise PromptError("there are no features in it")
    names = np.array([g.geom_type if g is not None else "" for g in geometries])
    empty = (names == "") | shapely.is_empty(geometries)
    if empty.any():
        raise PromptError(f"{_first(empty)} has no geometry: delete it, or draw a point or polygon")
    usable = np.isin(names, _POINTS if ndim == 3 else _POINTS + _POLYGONS)
    if not usable.all():
        name = names[~usable][0]
        cure = "in a volume, give boxes as x0,y0,z0,x1,y1,z1 in a .csv" if name in _POLYGONS else "draw it as one"
        raise PromptError(f"{_first(~usable)} is a {name}, needed is a point{' or polygon' * (ndim == 2)}: {cure}")
    flat = ~shapely.has_z(geometries)
    if ndim == 3 and flat.any():
        raise PromptError(f"{_first(flat)} has no z: a point in a volume is x, y, z in the image's millimetres")
    coordinates, owners = shapely.get_coordinates(geometries, include_z=ndim == 3, return_index=True)
    wrong = ~np.isfinite(coordinates).all(axis=1)
    if wrong.any():
        raise PromptError(
            f"feature {owners[wrong][0] + 1} lies at {coordinates[wrong][0].tolist()}, needed are numbers"
        )
    return names


def _mover(file: Path, grid: Grid, found: _Layer) -> Move:
    """What takes the file's coordinates ``(n, ndim)`` to index coordinates; what lies nowhere becomes infinite."""
    transformer = None
    if grid.space in (LPS, PIXELS):
        _refuse_crs(file, grid, found.crs)
    elif found.crs is not None:
        source, target = pyproj.CRS.from_user_input(found.crs), pyproj.CRS.from_user_input(grid.space)
        _check_degrees(source, found.geometries)
        if not source.equals(target, ignore_axis_order=True):
            transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore", invalid="ignore"):
            return grid.to_index(points if transformer is None else np.stack(transformer.transform(*points.T), axis=-1))

    return move


def _whole_turns(found: _Layer, grid: Grid) -> NDArray[np.object_]:
    """Geometries in degrees, their parts moved by 360 to where the longitudes of an image beyond 180 are."""
    if found.crs is None or grid.space in (LPS, PIXELS):
        return found.geometries
    source, target = pyproj.CRS.from_user_input(found.crs), pyproj.CRS.from_user_input(grid.space)
    edges = [(-0.5, n - 0.5) for n in grid.shape]
    longitudes = grid.to_world(np.stack(np.meshgrid(*edges), axis=-1))[..., 0]
    low, high = longitudes.min(), longitudes.max()
    beyond = low < -180 - _ROUNDED or high > 180 + _ROUNDED
    if not (target.is_geographic and source.equals(target, ignore_axis_order=True) and beyond):
        return found.geometries
    parts, owners = shapely.get_parts(found.geometries, return_index=True)
    bounds = shapely.bounds(parts)
    turns = 360 * np.round(((low + high) - (bounds[:, 0] + bounds[:, 2])) / 720)
    coordinates, of = shapely.get_coordinates(parts, return_index=True)
    coordinates[:, 0] += turns[of]
    moved = shapely.set_coordinates(parts, coordinates)
    geometries = found.geometries.copy()
    for i in range(len(geometries)):
        mine = moved[owners == i]
        geometries[i] = mine[0] if len(mine) == 1 else shapely.union_all(mine)
    return geometries


def _refuse_crs(file: Path, grid: Grid, crs: str | None) -> None:
    """Refuse a CRS where the image has none; GeoJSON that names none is in the image's own coordinates."""
    silent = file.suffix.lower() in _GEOJSON and json.loads(file.read_text(encoding="utf-8-sig")).get("crs") is None
    if crs is None or silent:
        return
    place = "in millimetres (LPS)" if grid.space == LPS else "without a CRS"
    raise PromptError(
        f"its coordinates are in {pyproj.CRS.from_user_input(crs).name} but the image is {place}: "
        "save the prompts in the image's own coordinates and without a CRS, for example as a .csv"
    )


def _check_degrees(crs: pyproj.CRS, geometries: NDArray[np.object_]) -> None:
    """Metres in a file that says degrees: GeoJSON is WGS 84 unless it has a ``crs`` member."""
    if not crs.is_geographic or crs.axis_info[0].unit_name != "degree":
        return
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    wrong = (np.abs(coordinates) > (360, 90)).any(axis=1)
    if wrong.any():
        raise PromptError(
            f"feature {owners[wrong][0] + 1} lies at {coordinates[wrong][0].tolist()}, which is no longitude and "
            f"latitude, but the file is in {crs.name}: write its real CRS into it (GeoJSON means WGS 84)"
        )


def _check_moved(moved: NDArray[np.float64], owners: NDArray[np.integer[Any]]) -> None:
    wrong = ~np.isfinite(moved).all(axis=1)
    if wrong.any():
        raise PromptError(f"feature {owners[wrong][0] + 1} lies nowhere in the image's space")


def _first(chosen: NDArray[np.bool_]) -> str:
    return f"feature {np.flatnonzero(chosen)[0] + 1}"
