"""NIfTI, NRRD, MHA and what else ITK opens, through SimpleITK.

World coordinates are ITK's: millimetres in `LPS`. ITK turns NIfTI's RAS and NRRD's spaces into it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from promptile.errors import SourceError
from promptile.grid import LPS, Grid, Window
from promptile.sources.bad import one_line
from promptile.sources.identity import file_identity
from promptile.sources.image import Facts, ImageSource
from promptile.sources.levels import Resolution

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)

IN_MEMORY = 2**28
"""Bytes: what cannot be read by window is held in memory up to this size."""

_STREAMED = (".nii", ".mha", ".mhd")


def open_volume(path: str | Path, *, time: int | None = None) -> ImageSource:
    """Open a volume or an image with a medical header; nothing but its header is read.

    Raises
    ------
    SourceError
        If ITK cannot read it, if its geometry is not a grid, or if it has several time points and `time` says
        none of them.
    """
    path = Path(path)
    reader = read_header(path)
    time = choose_time(path.name, reader, time)
    grid = grid_of(reader)
    channels = channel_names(reader)
    facts = Facts(name=path.name, grid=grid, channels=channels, dtype=sample_type(path, reader))
    chosen = {} if time is None else {"time": time}
    return ImageSource(facts, [_Voxels(path, facts, time)], lambda: file_identity(path) | chosen)


def read_header(path: Path) -> SimpleITK.ImageFileReader:
    """A reader that has read the file's header, and no sample."""
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    with reading(path):
        reader.ReadImageInformation()
    if reader.GetDimension() not in (2, 3, 4) or min(reader.GetSize()) < 1:
        raise SourceError(f"{path.name} has the shape {reader.GetSize()}: 2D, 3D or 3D with time is needed")
    return reader


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn ITK's errors into ours."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise SourceError(f"{path.name} cannot be read: {_finding(error)}") from error


def _finding(error: BaseException) -> str:
    """What ITK means, without its file names, addresses and repetitions."""
    text = one_line(error)
    if "orthonormal" in text:
        return (
            "its axes are not at right angles or have no length (sform and qform), which no grid can say:"
            " resample it first, e.g. with `mri_convert IN OUT.nii` or 3D Slicer"
        )
    if "Unable to determine ImageIO reader" in text:
        return "no known format: convert it to NIfTI, NRRD or MHA"
    return text.rsplit("ITK ERROR: ", 1)[-1].split("): ", 1)[-1] + ": check the file, or convert it to NIfTI"


def choose_time(name: str, reader: SimpleITK.ImageFileReader, time: int | None) -> int | None:
    """The time point to read; None for an image without time."""
    count = reader.GetSize()[3] if reader.GetDimension() == 4 else 1
    return check_time(name, count, time) if reader.GetDimension() == 4 else check_time(name, 1, time, has_axis=False)


def check_time(name: str, count: int, time: int | None, *, has_axis: bool = True) -> int | None:
    if not has_axis or count == 1:
        if time not in (None, 0):
            raise SourceError(f"{name} has one time point: leave --time out")
        return 0 if has_axis else None
    if time is None or not 0 <= time < count:
        asked = "" if time is None else f", not {time}"
        raise SourceError(f"{name} has {count} time points: choose one with --time 0..{count - 1}{asked}")
    return time


def grid_of(reader: SimpleITK.ImageFileReader) -> Grid:
    """The grid of a header; time is left out."""
    n = min(reader.GetDimension(), 3)
    direction = np.reshape(reader.GetDirection(), (reader.GetDimension(),) * 2)[:n, :n]
    return lps_grid(reader.GetSize()[:n], reader.GetSpacing()[:n], reader.GetOrigin()[:n], direction)


def lps_grid(
    size: Sequence[int], spacing: Sequence[float], origin: Sequence[float], direction: NDArray[np.float64]
) -> Grid:
    """ITK's geometry, whose indices are ``(x, y[, z])``, as a `Grid`, whose indices are ``(z, y, x)``."""
    n = len(size)
    matrix = np.eye(n + 1)
    matrix[:n, :n] = (direction * np.asarray(spacing))[:, ::-1]
    matrix[:n, n] = origin
    return Grid.of(tuple(size)[::-1], matrix, LPS)


def channel_names(reader: SimpleITK.ImageFileReader) -> tuple[str, ...]:
    count = reader.GetNumberOfComponents()
    colours = ("red", "green", "blue", "alpha")[:count]
    is_colour = count in (3, 4) and reader.GetPixelID() == SimpleITK.sitkVectorUInt8
    return colours if is_colour else tuple(str(i + 1) for i in range(count))


def sample_type(path: Path, reader: SimpleITK.ImageFileReader) -> np.dtype[Any]:
    """The type of one component."""
    kind = reader.GetPixelIDValue()
    if kind not in _TYPES:
        raise SourceError(
            f"{path.name} has samples of type {SimpleITK.GetPixelIDValueAsString(kind)}: integers or floats are needed"
        )
    return _TYPES[kind]


_TYPES = {
    getattr(SimpleITK, f"sitk{prefix}{name}"): np.dtype(name.lower())
    for prefix in ("", "Vector")
    for name in ("UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64")
}


class _Voxels(Resolution):
    """The samples of a volume; read by slab where the format allows it, else once as a whole."""

    def __init__(self, path: Path, facts: Facts, time: int | None) -> None:
        shape = facts.grid.shape
        super().__init__(shape, (1.0,) * len(shape), shape if len(shape) == 2 else (16, *shape[1:]))
        self._path = path
        self._facts = facts
        self._time = time
        self._streamed = path.name.lower().endswith(_STREAMED)
        self._lock = threading.Lock()

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        if self._streamed:
            return self._extract(window)[list(channels)]
        with self._lock:  # two threads must not read the whole file twice
            whole = self._whole
        return whole[(list(channels), *window.slices)]

    @cached_property
    def _whole(self) -> NDArray[Any]:
        return self._extract(self._facts.grid.window)

    def _extract(self, window: Window) -> NDArray[Any]:
        """``(c, *window.shape)``; a reader per call, for threads."""
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(self._path))
        more = [] if self._time is None else [self._time]
        reader.SetExtractIndex([*window.start[::-1], *more])
        reader.SetExtractSize([*window.shape[::-1], *(0 for _ in more)])
        with reading(self._path):
            image = reader.Execute()
        samples = SimpleITK.GetArrayFromImage(image)
        return np.moveaxis(samples, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else samples[None]
