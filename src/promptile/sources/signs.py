"""What tells kinds of images whose names do not: a look at their first bytes, or at what lies in a folder."""

from __future__ import annotations

from pathlib import Path


def is_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM prescribes (PS3.10): 128 free bytes, then four letters."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_zarr(path: Path) -> bool:
    """Whether the folder is an array or a group of Zarr, of format 2 or 3."""
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))
