"""Which kind of DICOM objects a file holds, and its reader."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from promptile.errors import SourceError
from promptile.grid import LPS, Grid
from promptile.structures.quiet import quiet
from promptile.structures.types import Structure

_READERS = {
    "1.2.840.10008.5.1.4.1.1.481.3": "regions",
    "1.2.840.10008.5.1.4.1.1.66.4": "segments",
    "1.2.840.10008.5.1.4.1.1.66.7": "segments",  # label maps, a newer kind
}


def is_structures(path: Path) -> bool:
    """Whether a file is meant as DICOM: by its name, or by how it begins."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_structures(path: Path, grid: Grid) -> list[Structure]:
    """The regions of a structure set, or the segments of a segmentation, in the order of the file.

    Parameters
    ----------
    path : Path
    grid : Grid
        Of the image that they belong to.

    Raises
    ------
    SourceError
        If there are none, or they do not lie on the grid.
    """
    if grid.space != LPS or grid.ndim != 3:
        raise SourceError(f"{path.name} holds places in a patient, but the image is no medical volume")
    if find_spec("pydicom") is None:
        raise SourceError(f"{path.name} is read by pydicom: install it with `pip install 'promptile[dicom]'`")
    with quiet():
        found = _read(path, grid)
    if not any(structure.window.size or len(structure.points) for structure in found):
        raise SourceError(f"{path.name} has no regions or segments with samples: choose another file")
    return found


def _read(path: Path, grid: Grid) -> list[Structure]:
    import pydicom

    try:
        file = pydicom.dcmread(path, force=True)
        kind = _READERS.get(str(file.get("SOPClassUID")))
        if kind is None:
            what = file.get("Modality") or "of an unknown kind"
            raise SourceError(f"{path.name} is {what}: a structure set (RTSTRUCT) or a segmentation (SEG) is needed")
        found: list[Structure] = import_module(f"promptile.structures.{kind}").read(file, grid, path.name)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError, EOFError) as error:
        # the error's own text may quote what the file says of the patient
        raise SourceError(f"{path.name} is damaged or incomplete ({type(error).__name__}): get it again") from error
    return found
