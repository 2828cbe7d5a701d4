"""What ITK's headers say: grid, channels, sample type; and its errors as ours."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import ArrayLike, NDArray

from promptile.errors import SourceError
from promptile.grid import LPS, Grid
from promptile.sources.bad import one_line

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # ITK writes warnings past Python to the terminal

_TYPES = {
    getattr(SimpleITK, f"sitk{prefix}{name}"): np.dtype(name.lower())
    for prefix in ("", "Vector")
    for name in ("UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64")
}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of ITK and of unpacking into ours."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name} cannot be read: {_finding(error)}") from error


def _finding(error: BaseException) -> str:
    """What ITK means, without its file names, addresses and repetitions; and the cure."""
    text = one_line(error)
    if "orthonormal" in text:
        return (
            "its axes are not at right angles or have no length (sform and qform), which ITK refuses:"
            " resample it first, e.g. in 3D Slicer or with `mri_convert IN OUT.nii`"
        )
    if "Unable to determine ImageIO reader" in text:
        return "it has no format that ITK knows. Convert it to NIfTI, NRRD or MHA"
    if "Cannot read requested file" in text:
        return "it holds no DICOM image (structure sets, reports and DICOMDIR do not), or is damaged. Open its series"
    text = text.rsplit("ITK ERROR: ", 1)[-1].split("): ", 1)[-1]
    text = text.rsplit(": ", 1)[-1] if "[nrrd]" in text else text
    return f"{text}. Get it again, or convert it to NIfTI"


def header(path: Path, io: str = "") -> SimpleITK.ImageFileReader:
    """A reader that has read the file's header, and no sample.

    Parameters
    ----------
    path : Path
    io : str, optional
        The one ITK reader to use; without it, ITK tries all.
    """
    reader = SimpleITK.ImageFileReader()
    if io:
        reader.SetImageIO(io)
    reader.SetFileName(str(path))
    with reading(path):
        reader.ReadImageInformation()
    size = reader.GetSize()
    if reader.GetDimension() not in (2, 3, 4) or min(size) < 1:
        raise SourceError(f"{path.name} has the shape {size}: an image of 2 or 3 dimensions, or 3 and time, is needed")
    return reader


def grid_of(reader: SimpleITK.ImageFileReader) -> Grid:
    """The grid of a header; time is left out."""
    n = min(reader.GetDimension(), 3)
    direction = np.reshape(reader.GetDirection(), (reader.GetDimension(),) * 2)[:n, :n]
    return lps_grid(reader.GetSize()[:n], direction * np.asarray(reader.GetSpacing()[:n]), reader.GetOrigin()[:n])


def lps_grid(size: Sequence[int], steps: NDArray[np.float64], origin: ArrayLike) -> Grid:
    """ITK's geometry, whose indices are ``(x, y[, z])``, as a `Grid`, whose indices are ``(z, y, x)``.

    Parameters
    ----------
    size : sequence of int
    steps : (ndim, ndim) array
        Column ``i`` is the step in millimetres from one sample to the next along ITK's axis ``i``.
    origin : (ndim,) array-like
        The centre of the first sample.
    """
    n = len(size)
    matrix = np.eye(n + 1)
    matrix[:n, :n] = steps[:, ::-1]
    matrix[:n, n] = origin
    if not np.isfinite(matrix).all() or np.linalg.matrix_rank(steps) < n:
        raise SourceError(f"The image's axes {steps.tolist()} span no space: correct its spacing and direction")
    return Grid.of(tuple(size)[::-1], matrix, LPS)


def channel_names(reader: SimpleITK.ImageFileReader) -> tuple[str, ...]:
    """Colours for three or four components of 8 bits, else numbers."""
    count = reader.GetNumberOfComponents()
    if count in (3, 4) and reader.GetPixelIDValue() == SimpleITK.sitkVectorUInt8:
        return ("red", "green", "blue", "alpha")[:count]
    return tuple(str(i + 1) for i in range(count))


def sample_type(path: Path, reader: SimpleITK.ImageFileReader) -> np.dtype[Any]:
    """The type of one component."""
    kind = reader.GetPixelIDValue()
    if kind not in _TYPES:
        said = SimpleITK.GetPixelIDValueAsString(kind)
        raise SourceError(f"{path.name} has samples of the type {said}: integers or floats are needed")
    return _TYPES[kind]


def samples_of(image: SimpleITK.Image) -> NDArray[Any]:
    """The samples of an image, ``(c, *shape)``."""
    samples: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    return np.moveaxis(samples, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else samples[None]
