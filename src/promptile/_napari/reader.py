"""Opening files in napari.

Errors are raised, and napari shows their text: a file of ours that cannot be opened is never passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning

from promptile._napari.choosing import agree, choose, has_window
from promptile._napari.layers import LayerTuple, image_layers, labels_layer
from promptile._napari.placement import KEY, Placement, is_map, map_name
from promptile.counts import counted
from promptile.errors import IrregularError, SeveralError, SourceError
from promptile.grid import Grid
from promptile.run import SUFFIX, Run
from promptile.run.parts import grid_from
from promptile.sources import Source, open_source
from promptile.sources.signs import is_dicom, is_zarr

SUFFIXES = (
    ".tif", ".tiff", ".vrt", ".jp2",
    ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr",
    ".dcm", ".dicom", ".ima",
)  # fmt: skip
"""Files that are ours; `napari.yaml` lists the same."""

NOTHING: Any = (None,)
"""What napari takes for no layer, and for no failure."""

_LOOKED_AT = 2000  # files of a folder, and of the folders in it, until it is taken for one without DICOM


def get_reader(path: str | Sequence[str]) -> Callable[..., list[LayerTuple]] | None:
    """The reader of these paths; None if one of them is not ours."""
    return read if all(_is_ours(Path(p)) for p in _listed(path)) else None


def read(path: str | Sequence[str]) -> list[LayerTuple]:
    """The layers of these paths. Of the DICOM files of one series, the first stands for all."""
    layers = []
    series: set[tuple[Path, str]] = set()
    for each in map(Path, _listed(path)):
        if each.is_file() and _opens_as_dicom(each):
            name = _series_name(each)
            if (each.parent, name) in series or (not name and any(folder == each.parent for folder, _ in series)):
                continue
            series.add((each.parent, name))
        layers += read_run(each) if _is_run(each) else read_image(each)
    return layers


def read_image(path: Path, **options: Any) -> list[LayerTuple]:
    """An image's layers, placed among those that the viewer has.

    Parameters
    ----------
    path : Path
    options
        ``time``, ``series``, ``resample`` as in `promptile.open`; the layers remember them.
    """
    try:
        source = open_source(path, **options)
    except (SeveralError, IrregularError) as error:
        answer = _asked(path, error) if has_window() else None
        if answer is None:
            raise
        return read_image(path, **options, **answer) if answer else [NOTHING]
    _warn_of_other_maps(source.name, source.grid.space)
    return _layers_of(source, path, options)


def _asked(path: Path, error: SeveralError | IrregularError) -> dict[str, Any]:
    """What the user wants to be opened instead; empty for nothing."""
    if isinstance(error, IrregularError):
        return {"resample": True} if agree(f"{error.finding}.", "Interpolate even slices, and open them?") else {}
    number = choose(f"{path.name} holds several images", error.images)
    return {} if number is None else {"series": number + 1}


def _layers_of(source: Source, path: Path, options: Mapping[str, Any]) -> list[LayerTuple]:
    layers = image_layers(source, str(path), Placement.among(shown_layers(), source.grid))
    for _, attributes, _ in layers:
        attributes["metadata"][KEY].update(options)
    return layers


def read_run(path: Path) -> list[LayerTuple]:
    """A run's labels on its image, which is opened too if it can be found; says so if something is missing."""
    run = Run.open(path)
    _warn_of_other_maps(path.name, run.grid.space)
    if not run.finished:
        show_warning(f"{path.name} is not finished, its labels are not painted: run promptile segment again")
    elif run.failed:
        some = ", ".join(map(str, run.failed[:8]))
        show_warning(f"{path.name} lacks {counted(len(run.failed), run.failed[0].kind)} that failed: {some}")
    return [*_image_under(run), labels_layer(run, Placement.among(shown_layers(), run.grid))]


def _image_under(run: Run) -> list[LayerTuple]:
    """The layers of the image that a run was made from, unless it is open; none, and a word, if it is not found."""
    place = {key: value for key, value in run.image.items() if value is not None}
    path = Path(place.pop("image", ""))
    name = run.spec["image"].get("name", "an image without a name")
    beside = Path(run.path).parent / path.name  # it may have been moved together with the run
    found = next((p for p in (path, beside) if path.name and p.exists()), None)
    if _is_open(found, place, run.grid):
        return []
    if found is None:
        where = f"not at {path}" if path.name else "in no file"
        show_info(f"{run.name} was made from {name}, which is {where}: the labels are shown without it")
        return []
    try:
        source = open_source(found, **place)
        same = {**source.identity, "name": name} == {**run.spec["image"], "name": name}  # it may have another name now
    except SourceError as error:
        show_warning(f"The image of {run.name} is not shown: {error}")
        return []
    if not same:
        show_warning(f"{found} is not what {run.name} was made from, or has changed: the labels are shown without it")
        return []
    return _layers_of(source, found, place)


def _is_open(path: Path | None, place: Mapping[str, Any], grid: Grid) -> bool:
    """Whether this image is open; without a path, one that it may be, because it has the same samples."""
    known = [layer.metadata[KEY] for layer in shown_layers() if isinstance(layer, Image) and KEY in layer.metadata]
    if path is None:
        return any(grid_from(k["grid"]) == grid for k in known)
    return any(Path(k.get("path", "")).resolve() == path.resolve() and place.items() <= k.items() for k in known)


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
        return is_zarr(path) or any(map(_opens_as_dicom, inside))
    return path.name.lower().endswith(SUFFIXES)


def _is_run(path: Path) -> bool:
    return path.name.endswith(SUFFIX) or (path / "prompts.json").is_file()


def _opens_as_dicom(path: Path) -> bool:
    """Whether a file is DICOM; one that is locked is left to others."""
    try:
        return is_dicom(path)
    except OSError:
        return False


def _series_name(path: Path) -> str:
    """What the files of one DICOM image share; nothing for one that cannot be read, which others may stand for."""
    from promptile.sources.dicom import series_name  # heavy, and most images are none

    try:
        return series_name(path)
    except SourceError:
        return ""
