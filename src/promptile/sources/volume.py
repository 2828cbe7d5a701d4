"""NIfTI, NRRD, MHA and what else ITK opens, through SimpleITK.

World coordinates are ITK's: millimetres in `LPS`. ITK turns NIfTI's RAS and NRRD's spaces into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import SimpleITK
from numpy.typing import NDArray

from promptile.errors import SourceError
from promptile.grid import Window
from promptile.sources.identity import file_identity, files_identity
from promptile.sources.image import Facts, ImageSource, choose_time
from promptile.sources.itk import channel_names, grid_of, header, reading, sample_type, samples_of
from promptile.sources.levels import Resolution
from promptile.sources.packed import Packed, find_packed
from promptile.sources.whole import IN_MEMORY, SLAB, Slabs, Whole

AT_ONCE = 2**30
"""Bytes: ITK reads a file that it cannot read by window only up to this size."""

_BY_WINDOW = (".nii", ".mha", ".mhd")
_LARGEST_RATIO = 1100
"""Packing by gzip and zlib makes nothing smaller than this."""


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

    stored = _Stored(path, reader, facts, point)
    return ImageSource(facts, [stored.resolution(identify)], identify)


class _Stored:
    """How a file's samples can be had."""

    def __init__(self, path: Path, reader: SimpleITK.ImageFileReader, facts: Facts, time: int | None) -> None:
        self._path = path
        self._facts = facts
        self._time = time
        self._more = [time or 0] if reader.GetDimension() == 4 else []
        each = len(facts.channels) * facts.dtype.itemsize
        self._bytes = facts.grid.window.size * each
        self._bytes_in_file = self._bytes * (reader.GetSize()[3] if self._more else 1)
        self._packed = find_packed(path, reader, facts.dtype) if self._bytes_in_file > IN_MEMORY else None

    def resolution(self, identify: Any) -> Resolution:
        """Read by window where the format allows it, else as a whole; refuse what cannot be true or is too much."""
        name = self._path.name
        if self._path.name.lower().endswith(_BY_WINDOW) and not _is_packed(self._path):
            return _Windows(self)
        size = sum(p.stat().st_size for p in [self._path, *_data_files(self._path)])
        if self._bytes_in_file > size * _LARGEST_RATIO:
            raise SourceError(
                f"{name} promises {self._bytes_in_file / 1e9:.1f} GB in a file of {size} bytes: get it again"
            )
        if self._packed is None and self._bytes_in_file > AT_ONCE:
            raise SourceError(
                f"{name} cannot be read by window and takes {self._bytes_in_file / 1e9:.1f} GB as a whole: store it as"
                " uncompressed .nii or .mha"
            )
        return Whole(self._facts, self._unpacked(self._packed) if self._packed else self._at_once, identify)

    def extract(self, window: Window) -> NDArray[Any]:
        """``(c, *window.shape)``; a reader per call, since readers hold state."""
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(self._path))
        reader.SetExtractIndex([*window.start[::-1], *self._more])
        reader.SetExtractSize([*window.shape[::-1], *(0 for _ in self._more)])
        with reading(self._path):
            return samples_of(reader.Execute())

    def _at_once(self) -> Iterator[NDArray[Any]]:
        yield self.extract(self._facts.grid.window)

    def _unpacked(self, packed: Packed) -> Slabs:
        """Slabs of the packed stream, channels first."""
        count = len(self._facts.channels)
        shape = self._facts.grid.shape + ((count,) if count > 1 else ())
        skipped = (self._time or 0) * self._facts.grid.window.size * count

        def slabs() -> Iterator[NDArray[Any]]:
            with reading(self._path):
                for slab in packed.slabs(shape, skipped, SLAB):
                    yield slab[None] if count == 1 else slab.transpose(-1, *range(slab.ndim - 1))

        return slabs


class _Windows(Resolution):
    """A file that ITK reads by window."""

    def __init__(self, stored: _Stored) -> None:
        shape = stored._facts.grid.shape
        super().__init__(shape, (1.0,) * len(shape), shape if len(shape) == 2 else (16, *shape[1:]))
        self._stored = stored

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        return self._stored.extract(window)[list(channels)]


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
