"""NIfTI, NRRD, MHA and what else ITK opens, through SimpleITK.

World coordinates are ITK's: millimetres in `LPS`. ITK turns NIfTI's RAS and NRRD's spaces into it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK
from numpy.typing import NDArray

from promptile.errors import SourceError
from promptile.grid import Window
from promptile.sources.identity import file_identity, files_identity
from promptile.sources.image import Facts, Identify, ImageSource, choose_time, reopening
from promptile.sources.itk import channel_names, grid_of, header, reading, sample_type, samples_of
from promptile.sources.levels import Resolution
from promptile.sources.packed import Packed, find_packed
from promptile.sources.whole import IN_MEMORY, SLAB, Whole

AT_ONCE = 2**30
"""Bytes: ITK reads a file that it cannot read by window only up to this size."""

_BY_WINDOW = (".nii", ".mha", ".mhd")
_LARGEST_RATIO = 1100
"""Packing by gzip and zlib makes nothing smaller than this."""


@reopening
def open_volume(path: str | Path, *, time: int | None = None) -> ImageSource:
    """Open a volume, or a 2D image with a medical header; nothing but its header is read.

    Raises
    ------
    SourceError
        If ITK cannot read it, if its geometry is no grid, or if it has several time points and `time` is none
        of them.
    """
    path = Path(path)
    if path.suffix.lower() == ".hdr" and not _data_files(path):
        raise SourceError(f"{path.name} is a header without samples: put {path.stem}.img beside it")
    reader = header(path)
    _check_length(path, reader)
    count = reader.GetSize()[3] if reader.GetDimension() == 4 else 1
    point = choose_time(path.name, count, time)
    facts = Facts(
        name=path.name,
        grid=grid_of(reader),
        channels=channel_names(reader),
        dtype=sample_type(path, reader),
    )

    def identify() -> dict[str, Any]:
        files = [path, *_data_files(path)]
        identity = file_identity(path) if len(files) == 1 else files_identity(path.name, files, path.parent)
        return identity if point is None else identity | {"time": point}

    file = _File(path, facts, () if reader.GetDimension() < 4 else (point or 0,))
    return ImageSource(facts, [_resolution(file, reader, identify)], identify)


def _check_length(path: Path, reader: SimpleITK.ImageFileReader) -> None:
    """Refuse truncated NIfTI files, whose missing samples ITK reads as zeros without a word."""
    samples = {".nii": path, ".hdr": path.with_suffix(".img")}.get(path.suffix.lower())
    if samples is None or not samples.is_file() or not reader.HasMetaDataKey("bitpix"):
        return
    shape = [max(int(reader.GetMetaData(f"dim[{i}]")), 1) for i in range(1, 1 + int(reader.GetMetaData("dim[0]")))]
    each = int(reader.GetMetaData("bitpix")) // 8
    start = int(float(reader.GetMetaData("vox_offset")))
    needed, there = start + math.prod(shape) * each, samples.stat().st_size
    if there < needed:
        raise SourceError(f"{samples.name} is cut off: it has {there} bytes of {needed}. Get it again")


@dataclass(frozen=True)
class _File:
    """A file that ITK reads."""

    path: Path
    facts: Facts
    time: tuple[int, ...]
    """The index on ITK's fourth axis; empty without one."""

    def extract(self, window: Window) -> NDArray[Any]:
        """``(c, *window.shape)``; a reader per call, since readers hold state."""
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(self.path))
        reader.SetExtractIndex([*window.start[::-1], *self.time])
        reader.SetExtractSize([*window.shape[::-1], *(0 for _ in self.time)])
        with reading(self.path):
            return samples_of(reader.Execute())

    def at_once(self) -> Iterator[NDArray[Any]]:
        """Everything as one slab."""
        yield self.extract(self.facts.grid.window)

    def unpacked(self, packed: Packed) -> Iterator[NDArray[Any]]:
        """Slabs of the packed stream, channels first."""
        count = len(self.facts.channels)
        shape = self.facts.grid.shape + ((count,) if count > 1 else ())
        skipped = sum(self.time) * self.facts.grid.window.size * count
        with reading(self.path):
            for slab in packed.slabs(shape, skipped, SLAB):
                yield slab[None] if count == 1 else slab.transpose(-1, *range(slab.ndim - 1))


def _resolution(file: _File, reader: SimpleITK.ImageFileReader, identify: Identify) -> Resolution:
    """Read by window where the format allows it, else as a whole; refuse what cannot be true or is too much."""
    path, facts = file.path, file.facts
    if path.name.lower().endswith(_BY_WINDOW) and not _is_packed(path):
        return _Windows(file)
    promised = math.prod(reader.GetSize()) * len(facts.channels) * facts.dtype.itemsize
    there = sum(p.stat().st_size for p in [path, *_data_files(path)])
    if promised > there * _LARGEST_RATIO:
        raise SourceError(f"{path.name} promises {promised / 1e9:.1f} GB in a file of {there} bytes: get it again")
    # ITK reads a truncated .nii.gz without a word, so those are unpacked here whatever their size
    ours = promised > IN_MEMORY or path.name.lower().endswith(".nii.gz")
    packed = find_packed(path, reader, facts.dtype) if ours else None
    if packed is not None:
        return Whole(facts, lambda: file.unpacked(packed), identify)
    if promised > AT_ONCE:
        raise SourceError(
            f"{path.name} cannot be read by window and takes {promised / 1e9:.1f} GB as a whole: store it as"
            " uncompressed .nii or .mha"
        )
    return Whole(facts, file.at_once, identify)


class _Windows(Resolution):
    """A file that ITK reads by window."""

    def __init__(self, file: _File) -> None:
        shape = file.facts.grid.shape
        super().__init__(shape, (1.0,) * len(shape), shape if len(shape) == 2 else (16, *shape[1:]))
        self._file = file

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        return self._file.extract(window)[list(channels)]


def _data_files(path: Path) -> list[Path]:
    """The files beside a header that hold the samples."""
    suffixes = {".hdr": (".img", ".img.gz"), ".mhd": (".raw", ".zraw"), ".nhdr": (".raw", ".raw.gz")}
    beside = [path.with_suffix(s) for s in suffixes.get(path.suffix.lower(), ())]
    return [p for p in beside if p.is_file()]


def _is_packed(path: Path) -> bool:
    """Whether a MetaImage header announces compressed samples."""
    if path.suffix.lower() == ".nii":
        return False
    with path.open("rb") as file:
        return b"compresseddata=true" in file.read(4096).lower().replace(b" ", b"")
