"""DICOM series, through SimpleITK's GDCM.

A series is a pile of slices, each with its own position and orientation. ITK stacks them by position and takes
the rest for granted, so a missing slice or a tilted gantry bends the patient without a word. `stack` looks first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from promptile.errors import SeveralError, SourceError, UsageError
from promptile.sources.bad import logger
from promptile.sources.dicom_frames import decoded, frames_of, sample_type_of
from promptile.sources.dicom_resampled import nothing
from promptile.sources.dicom_stack import Slice, Stack, stack
from promptile.sources.identity import files_identity
from promptile.sources.image import Facts, ImageSource, choose_time, reopening
from promptile.sources.itk import channel_names, header, reading, sample_type, samples_of
from promptile.sources.signs import is_dicom
from promptile.sources.whole import SLAB, Whole

_GDCM = "GDCMImageIO"
_SUFFIXES = (".dcm", ".dicom", ".ima")
_NAMED = (*_SUFFIXES, "")
_LISTED = 8


@reopening
def open_dicom(
    path: str | Path, *, time: int | None = None, series: str | int | None = None, resample: bool = False
) -> ImageSource:
    """Open a DICOM series: a folder, or one file that stands for its series.

    Every file's header is read. A file without position or with several frames is an image of its own. With
    `resample`, slices that do not form a regular grid are interpolated onto one.

    Raises
    ------
    SourceError
        If there is no image, if there are several series and `series` names none of them, if the slices do not
        form a regular grid, or if there are several time points and `time` names none of them.
    """
    path = Path(path)
    stack, point = _ordered(path, time, series, resample)
    return _source(path, stack, point)


def files_of(
    image: str | Path, *, time: int | None = None, series: str | int | None = None, resample: bool = False
) -> list[tuple[Path, int | None]]:
    """Per slice of an image its file and, where that has several, its frame; none if the image is not DICOM.

    Takes what opens the image.
    """
    path = Path(image)
    if not path.is_dir() and not is_dicom(path) and path.suffix.lower() not in _SUFFIXES:
        return []
    if path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup")):
        return []
    found, point = _ordered(path, time, series, resample)
    return [(s.path, s.frame) for s in found.points[point or 0]]


def _ordered(
    path: Path, time: int | None, series: str | int | None, resample: bool = False
) -> tuple[Stack, int | None]:
    """The slices of an image in order, and which time point is asked for of several."""
    if path.is_dir():
        slices = _choose(path, _series(_folder(path)), series)
    else:
        if series is not None:
            raise UsageError(f"`series` means nothing for the one file {path.name}: leave it out")
        slices = _series_of(path)
    if slices[0].modality == "SEG":
        raise SourceError(f"{path.name} is a DICOM segmentation, labels and no image: open the series it belongs to")
    if len(slices) == 1 and slices[0].size[2] > 1:
        slices = frames_of(slices[0], _tag(slices[0].path, "0008|0016"))
    found = stack(path.name, slices, resample=resample)
    if found.plan is not None:
        logger.warning("%s; interpolated onto slices %.3f mm apart", found.finding, found.grid.spacing[0])
    return found, choose_time(path.name, len(found.points), time)


def _source(path: Path, found: Stack, point: int | None) -> ImageSource:
    slices, plan = found.points[point or 0], found.plan
    first = slices[0]
    in_frames = first.frame is not None
    dtype = sample_type_of(slices) if in_frames else np.result_type(*(s.dtype for s in slices))
    facts = Facts(
        name=path.name,
        grid=found.grid,
        channels=first.channels,
        dtype=dtype,
        nodata=() if plan is None else (nothing(dtype),) * len(first.channels),
        modality=first.modality,
    )
    files = sorted({s.path for s in slices})

    def identify() -> dict[str, Any]:
        identity = files_identity(path.name, files, files[0].parent)
        identity |= {} if plan is None else {"resampled": [round(s, 6) for s in plan.grid.spacing]}
        return identity if point is None else identity | {"time": point}

    def slabs() -> Iterator[NDArray[Any]]:
        everyone = [s for some in found.points for s in some]
        if plan is not None:
            if in_frames:  # they are decoded all at once
                frames = np.concatenate([*_taken(slices, everyone)], axis=1)
                return plan.slabs(lambda i: frames[:, i], dtype)
            return plan.slabs(lambda i: _decode(slices[i].path)[:, 0], dtype)
        return _taken(slices, everyone)

    return ImageSource(facts, [Whole(facts, slabs, identify)], identify)


def _taken(slices: Sequence[Slice], everyone: Sequence[Slice]) -> Iterator[NDArray[Any]]:
    """The samples of slices ``(c, n, y, x)`` in their order, a few at a time."""
    if slices[0].frame is not None:
        yield from decoded(slices, everyone)
        return
    files = [s.path for s in slices]
    for a in range(0, len(files), SLAB):
        yield np.concatenate([_decode(f) for f in files[a : a + SLAB]], axis=1)


def _decode(path: Path) -> NDArray[Any]:
    """``(c, z, y, x)``: the samples of one file, rescaled as it says."""
    with reading(path):
        return samples_of(SimpleITK.ReadImage(str(path), imageIO=_GDCM))


def _folder(path: Path) -> list[Slice]:
    """The images among a folder's files; those below it belong to others."""
    files = sorted(p for p in path.iterdir() if p.is_file())
    found = {p: _maybe(p) for p in files}
    slices = [s for s in found.values() if s is not None]
    if slices:
        _name_what_is_lost(path, [p for p, s in found.items() if s is None])
        return slices
    below = sorted(p.name for p in path.iterdir() if p.is_dir())
    cure = f"open one of its folders ({', '.join(below[:3])})" if below else "check the path"
    raise SourceError(f"{path.name} is a folder without DICOM images, and no Zarr either: {cure}")


def _maybe(path: Path) -> Slice | None:
    """The image in a file; None if the file holds something else."""
    if not is_dicom(path) and path.suffix.lower() not in _NAMED:
        return None
    try:
        return _slice(path)
    except SourceError as error:
        logger.debug("left out: %s", error)
        return None


def _name_what_is_lost(folder: Path, left: Sequence[Path]) -> None:
    """A damaged slice at an end of the series would not be missed otherwise."""
    lost = [p.name for p in left if p.name != "DICOMDIR" and (p.suffix.lower() in _SUFFIXES or is_dicom(p))]
    if lost:
        more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
        logger.warning("%s: left out what is no readable image: %s%s", folder.name, ", ".join(lost[:_LISTED]), more)


def series_name(path: Path) -> str:
    """The same for all files of a folder that `open_dicom` opens as one image, and for no others."""
    asked = _slice(path)
    return path.name if _alone(asked) else asked.series


def _alone(asked: Slice) -> bool:
    """Whether a file is an image of its own: it does not say where it lies, or has several slices."""
    return not asked.placed or asked.size[2] > 1


def _series_of(path: Path) -> list[Slice]:
    """The series that a file belongs to."""
    asked = _slice(path)
    if _alone(asked):
        return [asked]
    others = [s for s in _folder(path.parent) if s.path.name != path.name]
    return [asked, *(s for s in others if s.series == asked.series and s.placed)]


def _series(slices: Sequence[Slice]) -> list[list[Slice]]:
    found: dict[str, list[Slice]] = {}
    for s in slices:
        found.setdefault(s.series, []).append(s)
    return [found[uid] for uid in sorted(found)]


def _choose(path: Path, found: list[list[Slice]], asked: str | int | None) -> list[Slice]:
    """The series that was asked for, by UID, by its number in the list, or by its description."""
    if asked is None and len(found) == 1:
        return found[0]
    chosen = [s for i, s in enumerate(found, 1) if str(asked) in (str(i), s[0].series)]
    chosen = chosen or [s for s in found if asked and s[0].described.casefold() == str(asked).casefold()]
    if len(chosen) == 1:
        return chosen[0]
    listed = [
        f"{i}: {s[0].modality} {s[0].described} ({len(s)} files, {s[0].series or 'no UID'}) in {s[0].path.name}"
        for i, s in enumerate(found, 1)
    ]
    more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    wrong = "" if asked is None else f", none of them {asked}"
    raise SeveralError(
        f"{path.name} holds {len(found)} series{wrong}: choose one with --series NUMBER, UID or DESCRIPTION, or open"
        f" one of its files. {'; '.join(listed[:_LISTED])}{more}",
        listed,
    )


def _tag(path: Path, key: str) -> str:
    """What a file says under a tag; empty if nothing."""
    return _said(header(path, _GDCM), key)


def _said(reader: SimpleITK.ImageFileReader, key: str) -> str:
    return str(reader.GetMetaData(key)).strip("\0 ") if reader.HasMetaDataKey(key) else ""


def _slice(path: Path) -> Slice:
    reader = header(path, _GDCM)
    tag = partial(_said, reader)

    return Slice(
        path=path,
        uid=tag("0008|0018"),
        series=tag("0020|000e"),
        described=tag("0008|103e"),
        modality=tag("0008|0060"),
        number=int(tag("0020|0013") or 0),
        size=tuple(reader.GetSize()),
        steps=np.reshape(reader.GetDirection(), (3, 3)) * np.asarray(reader.GetSpacing()),
        origin=np.array(reader.GetOrigin()),
        placed=bool(tag("0020|0032")),
        channels=channel_names(reader),
        dtype=sample_type(path, reader),
    )
