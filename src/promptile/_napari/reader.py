"""Opening files in napari.

Errors are raised, and napari shows their text: a file of ours that cannot be opened is never passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import napari
from napari.utils.notifications import show_warning

from promptile._napari.layers import LayerTuple, image_layers, labels_layer
from promptile._napari.placement import KEY, Placement, is_map, map_name
from promptile.run import SUFFIX, Run
from promptile.sources import open_source

SUFFIXES = (
    ".tif", ".tiff", ".vrt", ".jp2",
    ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr",
    ".dcm", ".dicom", ".ima",
)  # fmt: skip
"""Files that are ours; `napari.yaml` lists the same."""

_ZARR = ("zarr.json", ".zarray", ".zgroup")
_LOOKED_AT = 2000  # files of a folder, and of the folders in it, until it is taken for one without DICOM


def get_reader(path: str | Sequence[str]) -> Callable[..., list[LayerTuple]] | None:
    """The reader of these paths; None if one of them is not ours."""
    return read if all(_is_ours(Path(p)) for p in _listed(path)) else None


def read(path: str | Sequence[str]) -> list[LayerTuple]:
    """The layers of these paths. Of the DICOM files of one folder, the first stands for its series."""
    layers = []
    folders = set()
    for each in map(Path, _listed(path)):
        if each.is_file() and _is_dicom(each):
            if each.parent in folders:
                continue
            folders.add(each.parent)
        layers += read_run(each) if _is_run(each) else read_image(each)
    return layers


def read_image(path: Path) -> list[LayerTuple]:
    """An image's layers, placed among those that the viewer has."""
    source = open_source(path)
    placement = Placement.among(shown_layers(), source.grid)
    _warn_of_other_maps(source.name, source.grid.space)
    return image_layers(source, str(path), placement)


def read_run(path: Path) -> list[LayerTuple]:
    """A run's labels; says so if they are not all there."""
    run = Run.open(path)
    _warn_of_other_maps(path.name, run.grid.space)
    if not run.finished:
        show_warning(f"{path.name} is not finished, its labels are not painted: run promptile segment again")
    elif run.failed:
        some = ", ".join(map(str, run.failed[:8]))
        show_warning(f"{path.name} lacks {len(run.failed)} objects or tiles that failed: {some}")
    return [labels_layer(run, Placement.among(shown_layers(), run.grid))]


def shown_layers() -> list[Any]:
    """The layers of the viewer in use; none without one."""
    viewer = napari.current_viewer()
    return [] if viewer is None else list(viewer.layers)


def _warn_of_other_maps(name: str, space: str) -> None:
    known = (layer.metadata.get(KEY) for layer in shown_layers())
    spaces = {k["grid"]["space"] for k in known if k}
    others = sorted(s for s in spaces if is_map(s) and s != space)
    if others:
        here = map_name(space) if is_map(space) else "no CRS"
        show_warning(f"{name} has {here}, a layer that is open has {map_name(others[0])}: they do not overlay")


def _listed(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        inside = islice(chain(path.iterdir(), path.glob("*/*")), _LOOKED_AT)
        return any((path / name).is_file() for name in _ZARR) or any(map(_is_dicom, inside))
    return path.name.lower().endswith(SUFFIXES)


def _is_run(path: Path) -> bool:
    return path.name.endswith(SUFFIX) or (path / "prompts.json").is_file()


def _is_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM prescribes: 128 free bytes, then four letters."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
