"""Images of any kind behind one protocol, `Source`; `open_source` is ``promptile.open``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.errors import SourceError, UsageError
from promptile.grid import Grid
from promptile.sources.protocol import Source
from promptile.sources.signs import is_dicom, is_zarr

__all__ = ["Source", "open_source"]

_VOLUMES = (
    ".nii", ".nii.gz", ".nia", ".hdr", ".img.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".mrc", ".rec",
    ".gipl", ".gipl.gz", ".vtk",
)  # fmt: skip
_DICOM = (".dcm", ".dicom", ".ima")


def open_source(
    image: str | Path | NDArray[Any] | Source,
    *,
    grid: Grid | None = None,
    channel_axis: int | None = None,
    time: int | None = None,
    series: str | int | None = None,
    resample: bool = False,
) -> Source:
    """Open an image; only its header is read.

    Parameters
    ----------
    image : path, array or Source
        A raster (GeoTIFF, COG, VRT, PNG, ...), a volume (NIfTI, NRRD, MHA, ...), a DICOM file or folder, a
        Zarr or OME-Zarr folder, or an array ``(y, x)`` or ``(z, y, x)``.
    grid : Grid, optional
        For arrays: where the samples are.
    channel_axis : int, optional
        For arrays: which axis counts the channels.
    time : int, optional
        For images with several time points: which one, from 0.
    series : str or int, optional
        For DICOM folders with several series: the UID or description of one, or its number in the list, from 1.
    resample : bool
        For DICOM series whose slices do not form a regular grid (tilted gantry, missing slices, uneven distances):
        interpolate them onto one. Without it, they are refused.

    Raises
    ------
    SourceError
        One line that says what is wrong with the image and what to do.
    """
    if isinstance(image, np.ndarray):
        _only_for(image, time=time, series=series, resample=resample or None)
        return _opener("arrays", "ArraySource")(image, grid, channel_axis=channel_axis)
    if not isinstance(image, str | Path):
        if callable(getattr(image, "read", None)) and callable(getattr(image, "valid", None)):
            return image  # `isinstance` with a protocol would compute every property, the identity among them
        raise UsageError(f"An image is a path, a NumPy array or a Source, not {type(image).__name__}")
    _only_for(image, grid=grid, channel_axis=channel_axis)
    return _open_path(Path(image).expanduser(), time, series, resample)


def _open_path(path: Path, time: int | None, series: str | int | None, resample: bool) -> Source:
    if not path.exists():
        raise SourceError(f"{path} does not exist: check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path.name} is empty: get it again")
    name = path.name.lower()
    if is_zarr(path):
        _only_for(path, series=series, resample=resample or None)
        return _opener("zarrs", "open_zarr")(path, time=time)
    if path.is_dir() or name.endswith(_DICOM) or is_dicom(path):
        wanted = {"resample": True} if resample else {}  # what is not said is not kept in a run
        return _opener("dicom", "open_dicom")(path, time=time, series=series, **wanted)
    _only_for(path, series=series, resample=resample or None)
    if name.endswith(_VOLUMES):
        return _opener("volume", "open_volume")(path, time=time)
    _only_for(path, time=time)
    return _opener("geotiff", "open_raster")(path)


def _opener(module: str, name: str) -> Callable[..., Source]:
    """An opener from a module that is imported only now: each loads a heavy library."""
    opener: Callable[..., Source] = getattr(import_module(f"promptile.sources.{module}"), name)
    return opener


def _only_for(image: object, **options: Any) -> None:
    """Refuse options that mean nothing for this kind of image."""
    for option, value in options.items():
        if value is not None:
            what = "an array" if isinstance(image, np.ndarray) else Path(str(image)).name
            raise UsageError(f"`{option}` means nothing for {what}: leave it out")
