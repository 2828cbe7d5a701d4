"""Results as files. The suffix says which: vector layers, label rasters, label volumes, Zarr.

Nothing half-written ever has the final name: a file is made in a hidden folder beside its place and renamed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from promptile.disks import free_space
from promptile.errors import OutputError
from promptile.grid import LPS, PIXELS, Grid
from promptile.vectors.shaping import Shaping
from promptile.writers.cleaning import Cleaning
from promptile.writers.placing import sidecars, staged
from promptile.writers.protocol import Result

__all__ = [
    "DICOM",
    "EXACT",
    "SUFFIXES",
    "UNCHANGED",
    "Cleaning",
    "Result",
    "Shaping",
    "check",
    "check_image",
    "is_vector",
    "write",
]

EXACT = Shaping()
"""Outlines as they are."""

UNCHANGED = Cleaning()
"""Samples as they are."""

_VECTORS = (".gpkg", ".geojson", ".fgb", ".parquet", ".shp")
_RASTERS = (".tif", ".tiff")
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha")
_SLICER = (".seg.nrrd",)
_ZARRS = (".zarr",)

DICOM = (".seg.dcm", ".rt.dcm")
"""Formats that refer to the DICOM series that the image is."""

SUFFIXES = (*_VECTORS, *_RASTERS, *_VOLUMES, *_SLICER, *_ZARRS, *DICOM)
"""What `write` can write."""

_ROOMS = {
    "slicer": _SLICER,  # before .nrrd, with which its name ends, too
    "dicom_seg": DICOM[:1],
    "dicom_rt": DICOM[1:],
    "vector": _VECTORS,
    "raster": _RASTERS,
    "volume": _VOLUMES,
    "zarrs": _ZARRS,
}
_LIBRARIES = {"dicom_seg": "highdicom", "dicom_rt": "pydicom"}
_BODIES = ("slicer", "dicom_seg", "dicom_rt")
"""Formats for medical volumes alone."""
_RUN = ".run.zarr"


def write(
    result: Result,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    shaping: Shaping = EXACT,
    cleaning: Cleaning = UNCHANGED,
) -> Path:
    """Write a result; the suffix of `path` says how.

    Parameters
    ----------
    result : Result
    path : path
        Ends with one of `SUFFIXES`.
    overwrite : bool
        Whether a file that exists there may be replaced.
    shaping : Shaping
        What is done to outlines; for vectors only.
    cleaning : Cleaning
        What is done to samples; for all but vectors.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    OutputError
        If `check` finds a reason against it, or the disk does.
    """
    path = Path(path).expanduser()
    check(path, result.grid, overwrite, shaping)
    room = _room(path)
    writer = import_module(f"promptile.writers.{room}")
    try:
        with staged(path) as place:
            if room == "vector":
                writer.write(result, place, shaping)
            else:
                writer.write(cleaning.on(result), place)
    except writer.FAILURES as error:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise OutputError(
            f"{path} cannot be written: {text}. Check space ({free_space(path)} free) and permissions of {path.parent}"
        ) from error
    return path


def is_vector(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name holds outlines."""
    return os.fspath(path).lower().endswith(_VECTORS)


def check(path: str | os.PathLike[str], grid: Grid, overwrite: bool = False, shaping: Shaping = EXACT) -> None:
    """Refuse what `write` could not do, before a long run begins.

    Raises
    ------
    OutputError
        If the suffix is unknown or does not fit the grid or the shaping, the folder is missing or read-only, or
        something is there already.
    """
    path = Path(path).expanduser()
    _check_fit(path, _room(path), grid)
    if _room(path) != "vector" and not shaping.plain:
        raise OutputError(
            f"{path.name} holds samples, and --simplify, --smooth, --min-area, --fill-holes and --regularize shape "
            f"outlines: leave them out, or use {' '.join(_VECTORS)}"
        )
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"Folder {folder} does not exist: create it with `mkdir -p {folder}`")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"Folder {folder} is read-only: choose another one")
    if not overwrite:
        for there in filter(os.path.lexists, (path, *sidecars(path))):
            raise OutputError(f"{there} exists: add --overwrite to replace it, or choose another name")
    if not os.path.lexists(path):
        return
    if path.is_dir() != (_room(path) == "zarrs") or (path.is_dir() and not (path / "zarr.json").is_file()):
        what = "a folder that is no Zarr" if path.is_dir() else "a file"
        raise OutputError(f"{path} is {what} and is not replaced: choose another name")


def check_image(path: str | os.PathLike[str], grid: Grid, place: Mapping[str, Any]) -> None:
    """Refuse a format that refers to its image, if that is not the DICOM series it needs, before a long run begins.

    Parameters
    ----------
    path : path
    grid : Grid
    place : mapping
        What `promptile.open` takes to open the image; empty if it has no path.

    Raises
    ------
    OutputError
        Says what to use instead.
    """
    if _room(Path(path)) in ("dicom_seg", "dicom_rt"):
        import_module("promptile.writers.dicom_source").series_of(place, grid, Path(path).name)


def _room(path: Path) -> str:
    """The module that writes files of this suffix."""
    name = path.name.lower()
    if name.endswith(_RUN):
        raise OutputError(f"{path.name} is the name of a run: take another one, like {path.name[: -len(_RUN)]}.zarr")
    for room, suffixes in _ROOMS.items():
        if name.endswith(suffixes) and name not in suffixes:
            return room
    raise OutputError(f"{path.name} has no suffix that can be written: use one of {' '.join(SUFFIXES)}")


def _check_fit(path: Path, room: str, grid: Grid) -> None:
    name = path.name
    if room in _BODIES and (grid.space != LPS or grid.ndim != 3):
        raise OutputError(
            f"{name} takes medical volumes, and this is none: use {' '.join((*_VOLUMES, '.zarr', '.tif'))}"
        )
    if room in _LIBRARIES and find_spec(_LIBRARIES[room]) is None:
        raise OutputError(f"{name} needs {_LIBRARIES[room]}: install it with `pip install 'promptile[dicom]'`")
    if room in ("vector", "raster") and grid.ndim != 2:
        raise OutputError(f"{name} takes 2D images and this one is {grid.ndim}D: use {' '.join(_VOLUMES)} or .zarr")
    if room == "volume" and grid.space not in (LPS, PIXELS):
        raise OutputError(f"{name} cannot hold a map's coordinate system: use {' '.join((*_RASTERS, *_VECTORS))}")
    if name.lower().endswith(".geojson") and not _has_longitudes(grid.space):
        raise OutputError(f"{name} must be in longitude and latitude, which this image does not have: use .gpkg")


def _has_longitudes(space: str) -> bool:
    if space in (LPS, PIXELS):
        return False
    from pyproj import CRS  # heavy, and only GeoJSON asks

    return CRS.from_user_input(space).geodetic_crs is not None
