"""What is compared: label rasters and volumes, vector files, runs, or results in memory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from promptile.compare.drawn import Drawn
from promptile.compare.named import names_beside, read_segments
from promptile.compare.sampled import Sampled
from promptile.compare.scores import Comparison, Match, score
from promptile.compare.solids import with_solids
from promptile.errors import SourceError, UsageError
from promptile.grid import LPS, PIXELS, Grid
from promptile.run import SUFFIX, Run
from promptile.sources import open_source
from promptile.structures import is_structures, read_structures
from promptile.writers.protocol import Result

_VECTORS = (".gpkg", ".geojson", ".json", ".fgb", ".shp", ".parquet")
_ID_FIELDS = ("id", "object")

TOLERANCE_MM = 1.0

_CLOSE = 0.01
"""How far apart the corners of two grids may be, in samples."""


@dataclass(frozen=True, eq=False)
class _Polygons:
    """The polygons of a vector file."""

    name: str
    ids: list[int]
    polygons: NDArray[np.object_]
    space: str | None

    def move(self, space: str) -> NDArray[np.object_]:
        """The polygons in another coordinate system; without one, coordinates are what they are."""
        if self.space is None or space in (PIXELS, LPS):
            if self.space is not None:
                raise UsageError(f"{self.name} lies on a map and the other side does not: compare it on the same image")
            return self.polygons
        move = Transformer.from_crs(self.space, space, always_xy=True)
        moved: NDArray[np.object_] = shapely.transform(
            self.polygons, lambda points: np.column_stack(move.transform(points[:, 0], points[:, 1]))
        )
        return moved


@dataclass(frozen=True)
class _Structures:
    """A DICOM structure set or segmentation: it lies on the grid of the other side."""

    path: Path


@dataclass(frozen=True, eq=False)
class _Samples:
    """The objects on a grid."""

    name: str
    grid: Grid
    layer: Sampled


def compare(
    result: str | os.PathLike[str] | Result,
    truth: str | os.PathLike[str] | Result,
    *,
    match: Match = "auto",
    tolerance_mm: float = TOLERANCE_MM,
) -> Comparison:
    """Compare a result with the truth.

    Vectors are drawn on the other side's grid; two vector files are compared as the polygons they are. The objects
    are held in memory, one byte for each sample of their bounding boxes.

    Parameters
    ----------
    result, truth : path or Result
        Label images on one grid, vector files, runs, and on one side DICOM structure sets and segmentations. A
        vector's ids are in its field ``id`` or ``object``; without either, features count from 1. Names are the
        categories of a run, or what the file or the JSON beside it says.
    match : str
        See `score`.
    tolerance_mm : float
        In medical volumes: surfaces within this distance count as the same in the surface Dice.

    Raises
    ------
    PromptileError
        If one cannot be read, or if they are not on the same grid.
    """
    if not (tolerance_mm >= 0 and math.isfinite(tolerance_mm)):
        raise UsageError(f"--tolerance is {tolerance_mm}: give millimetres from 0")
    a, b = _read(result), _read(truth)
    a, b = _placed(a, b), _placed(b, a)
    if isinstance(a, _Polygons) and isinstance(b, _Polygons):
        return score(_drawn(a, a.space), _drawn(b, a.space), match)
    if isinstance(a, _Samples) and isinstance(b, _Samples):
        _check_same(a, b)
    grid = next(side.grid for side in (a, b) if isinstance(side, _Samples))
    layers = _sampled(a, grid), _sampled(b, grid)
    comparison = score(*layers, match)
    if grid.ndim == 3 and grid.space == LPS:
        return with_solids(comparison, *layers, grid, tolerance_mm)
    return comparison


def _placed(
    side: _Polygons | _Samples | _Structures, other: _Polygons | _Samples | _Structures
) -> _Polygons | _Samples:
    """A side on a grid: structures take that of the other one."""
    if not isinstance(side, _Structures):
        return side
    if not isinstance(other, _Samples):
        raise UsageError(f"{side.path.name} has no grid of its own: compare it with labels or a run of its series")
    found = [s for s in read_structures(side.path, other.grid) if s.window.size]
    numbers = [s.number for s in found]
    ids = numbers if len(set(numbers)) == len(numbers) else [*range(1, len(found) + 1)]
    names = {i: s.name for i, s in zip(ids, found, strict=True) if s.name}
    layer = Sampled(ids, [s.window for s in found], [s.samples for s in found], names)
    return _Samples(side.path.name, other.grid, layer)


def _read(what: str | os.PathLike[str] | Result) -> _Polygons | _Samples | _Structures:
    if not isinstance(what, str | os.PathLike):
        return _samples("the result", what)
    path = Path(what).expanduser()
    if not path.exists():
        raise SourceError(f"{path} does not exist: check the path")
    if path.name.lower().endswith(SUFFIX):
        return _samples(path.name, Run.open(path))
    if path.suffix.lower() in _VECTORS:
        return _read_polygons(path)
    return _Structures(path) if path.is_file() and is_structures(path) else _read_labels(path)


def _samples(name: str, result: Result) -> _Samples:
    masks = ((int(n), result.mask(int(n))) for n in result.objects["id"])
    objects = result.objects
    said = zip(objects["id"], objects["category"], strict=True) if "category" in objects else ()
    names = {int(n): c for n, c in said if isinstance(c, str) and c}
    return _Samples(name, result.grid, replace(Sampled.of_masks(masks), names=names))


def _read_labels(path: Path) -> _Samples:
    source = open_source(path)
    if path.name.lower().endswith(".seg.nrrd"):
        return _Samples(path.name, source.grid, read_segments(path, source))
    labels = source.read(source.grid.window)[0] if len(source.channels) == 1 else None
    if labels is not None and labels.dtype.kind == "f" and (labels == np.round(labels)).all() and labels.min() >= 0:
        labels = labels.astype(np.int64)  # many label maps are stored as floats
    if labels is None or labels.dtype.kind not in "iu":
        raise SourceError(
            f"{path.name} holds {len(source.channels)} × {source.dtype}, which are no labels:"
            " they are one channel of whole numbers"
        )
    return _Samples(path.name, source.grid, replace(Sampled.of_labels(labels), names=names_beside(path)))


def _read_polygons(path: Path) -> _Polygons:
    try:
        if path.suffix.lower() == ".parquet":
            import geopandas  # GDAL's wheels do not read Parquet

            frame = geopandas.read_parquet(path)
        else:
            frame = pyogrio.read_dataframe(path)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError, ValueError) as error:
        raise SourceError(f"{path.name} cannot be read: {' '.join(str(error).split())}. Check the file") from error
    polygons = np.asarray(frame.geometry)
    if not np.isin(shapely.get_type_id(polygons[~shapely.is_missing(polygons)]), (3, 6)).all():
        raise SourceError(f"{path.name} holds other shapes than polygons: only polygons can be compared")
    ids = next(
        (frame[n].tolist() for n in _ID_FIELDS if n in frame and _identify(frame[n])), [*range(1, len(frame) + 1)]
    )
    kept = ~(shapely.is_missing(polygons) | shapely.is_empty(polygons))
    valid = shapely.make_valid(polygons[kept])
    return _Polygons(path.name, [int(n) for n, k in zip(ids, kept, strict=True) if k], valid, _space(frame.crs))


def _identify(column: object) -> bool:
    """Whether the values of a column are ids: whole numbers, all different."""
    values = np.asarray(column)
    return values.dtype.kind in "iu" and len(np.unique(values)) == len(values)


def _space(crs: CRS | None) -> str | None:
    return None if crs is None else str(crs.to_wkt())


def _drawn(vectors: _Polygons, space: str | None) -> Drawn:
    if (vectors.space is None) != (space is None):
        raise UsageError(f"Only one of the two has a coordinate system, not {vectors.name}: compare both on one image")
    return Drawn(vectors.ids, vectors.polygons if space is None else vectors.move(space))


def _sampled(side: _Polygons | _Samples, grid: Grid) -> Sampled:
    if isinstance(side, _Samples):
        return side.layer
    if grid.ndim != 2:
        raise UsageError(
            f"{side.name} is flat and the other side is {grid.ndim}D: compare it with labels on the same grid"
        )
    index = shapely.transform(side.move(grid.space), lambda points: grid.to_index(points)[:, ::-1])
    return Sampled.of_polygons(side.ids, index, grid.shape)


def _check_same(a: _Samples, b: _Samples) -> None:
    """Refuse grids that differ; an image without a place only needs the same shape."""
    cure = "resample one to the other's grid first"
    if a.grid.shape != b.grid.shape:
        raise UsageError(f"{a.name} has the shape {a.grid.shape} and {b.name} {b.grid.shape}: {cure}")
    if PIXELS in (a.grid.space, b.grid.space):
        return
    if a.grid.space != b.grid.space and (LPS in (a.grid.space, b.grid.space) or CRS(a.grid.space) != CRS(b.grid.space)):
        raise UsageError(f"{a.name} and {b.name} have different coordinate systems: {cure}")
    ends = np.array([np.zeros(a.grid.ndim), *np.diag(a.grid.shape), a.grid.shape])
    apart = float(np.abs(b.grid.to_index(a.grid.to_world(ends)) - ends).max())
    if apart > _CLOSE:
        raise UsageError(f"{a.name} and {b.name} lie up to {apart:.3g} samples apart: {cure}")
