"""Files that take their names only once they are whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIDECARS = {
    ".shp": (".dbf", ".shx", ".prj", ".cpg", ".qpj", ".qix", ".sbn", ".sbx", ".shp.xml"),
    ".tif": (".tif.aux.xml", ".tif.ovr", ".tif.msk"),
    ".tiff": (".tiff.aux.xml", ".tiff.ovr", ".tiff.msk"),
    ".gpkg": (".gpkg-wal", ".gpkg-shm", ".gpkg-journal"),
}
"""Files that belong to another one; those of a file that is replaced would be wrong for its successor."""


def sidecars(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Files that are written beside `path`: NIfTI has no place for the names of labels."""
    name = os.fspath(path).lower()
    suffix = next((s for s in (".nii.gz", ".nii") if name.endswith(s)), "")
    return (Path(os.fspath(path)[: -len(suffix)] + ".json"),) if suffix else ()


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A place to make `path` in: the same name in a hidden folder beside it.

    What lies in that folder at the end takes its place, `path` itself last; after an error nothing is left. A folder
    is only replaced by a folder.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield folder / path.name
        _place(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(folder: Path, path: Path) -> None:
    made = [*(p for p in folder.iterdir() if p.name != path.name), folder / path.name]
    for suffix in _SIDECARS.get(path.suffix.lower(), ()):
        path.with_name(path.name[: -len(path.suffix)] + suffix).unlink(missing_ok=True)
    if path.is_dir():
        if not (folder / path.name).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.replace(folder / f"{path.name}.replaced")
    for file in made:
        file.replace(path.with_name(file.name))
