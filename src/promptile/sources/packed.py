"""Where the samples lie in compressed NIfTI, NRRD and MHA files, so that they can be unpacked in bounded memory.

ITK reads such files only as a whole. For large ones the stream is unpacked here, slice by slice. Whatever is
not plain (several files, exotic orders and encodings) is left to ITK.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from promptile.errors import SourceError

_HEADER = 2**16
_STEP = 2**20


@dataclass(frozen=True)
class Packed:
    """The samples of a file as one stream of bytes.

    ``x`` runs fastest, then ``y``, ``z`` and time; the components of a sample lie together.
    """

    path: Path
    start: int
    """Where the stream begins in the file; for a file that is packed from its first byte, in the stream."""
    packing: Literal["none", "zlib", "gzip from start"]
    """`zlib` stands for one stream of either kind, zlib or gzip."""
    stored: np.dtype[Any]
    """The type in the file, with its byte order."""
    slope: float = 1.0
    intercept: float = 0.0

    def slabs(self, shape: tuple[int, ...], skipped: int, depth: int) -> Iterator[NDArray[Any]]:
        """Slabs ``(at most depth, *shape[1:])`` of an array of `shape`, after `skipped` samples."""
        per_slice = int(np.prod(shape[1:]))
        with self._stream() as stream:
            _skip(stream, skipped * self.stored.itemsize)
            for first in range(0, shape[0], depth):
                count = min(depth, shape[0] - first) * per_slice
                content = _read(stream, count * self.stored.itemsize)
                if len(content) < count * self.stored.itemsize:
                    raise SourceError(f"{self.path.name} ends within slice {first + 1} or later: get it again")
                slab = np.frombuffer(content, self.stored).reshape(-1, *shape[1:])
                yield slab if self.slope == 1 and self.intercept == 0 else slab * self.slope + self.intercept

    def _stream(self) -> IO[bytes]:
        if self.packing == "gzip from start":
            whole = cast("IO[bytes]", gzip.open(self.path, "rb"))  # noqa: SIM115 - closed by the caller
            _skip(whole, self.start)
            return whole
        file = self.path.open("rb")
        file.seek(self.start)
        return file if self.packing == "none" else io.BufferedReader(_Unpacked(file), _STEP)


def find_packed(path: Path, reader: SimpleITK.ImageFileReader, stored: np.dtype[Any]) -> Packed | None:
    """Where the samples lie; None if that is better left to ITK."""
    name = path.name.lower()
    if name.endswith(".nii.gz"):
        return _nifti(path, reader)
    if name.endswith(".nrrd"):
        return _nrrd(path, reader, stored)
    if name.endswith(".mha"):
        return _meta(path, reader, stored)
    return None


def _nifti(path: Path, reader: SimpleITK.ImageFileReader) -> Packed | None:
    codes = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
    code = int(reader.GetMetaData("datatype"))
    if code not in codes or reader.GetNumberOfComponents() > 1:
        return None
    with gzip.open(path) as file:
        little = file.read(4) in (b"\x5c\x01\x00\x00", b"\x1c\x02\x00\x00")
    stored = np.dtype(("<" if little else ">") + codes[code])
    slope, intercept = (float(reader.GetMetaData(f"scl_{name}")) for name in ("slope", "inter"))
    start = int(float(reader.GetMetaData("vox_offset")))
    return Packed(path, start, "gzip from start", stored, slope or 1.0, intercept if slope else 0.0)


def _nrrd(path: Path, reader: SimpleITK.ImageFileReader, stored: np.dtype[Any]) -> Packed | None:
    with path.open("rb") as file:
        head = file.read(_HEADER)
    text, blank, _ = head.partition(b"\n\n")
    fields = _fields(text, ":")
    components = [reader.GetNumberOfComponents()] if reader.GetNumberOfComponents() > 1 else []
    sizes = [int(n) for n in fields.get("sizes", "").split()]
    packings: dict[str, Literal["none", "zlib"]] = {"raw": "none", "gzip": "zlib", "gz": "zlib"}
    packing = packings.get(fields.get("encoding", "").lower())
    plain = not {"data file", "datafile", "line skip", "byte skip", "lineskip", "byteskip"} & fields.keys()
    if not (blank and plain and packing and sizes == [*components, *reader.GetSize()]):
        return None
    order: Literal["<", ">"] = ">" if fields.get("endian", "little").lower() == "big" else "<"
    return Packed(path, len(text) + 2, packing, stored.newbyteorder(order))


def _meta(path: Path, reader: SimpleITK.ImageFileReader, stored: np.dtype[Any]) -> Packed | None:
    with path.open("rb") as file:
        head = file.read(_HEADER)
    mark = head.find(b"ElementDataFile = LOCAL\n")
    fields = _fields(head[: max(mark, 0)], "=")
    if mark < 0 or "headersize" in fields or fields.get("compresseddata", "").lower() != "true":
        return None
    big = (fields.get("binarydatabyteordermsb") or fields.get("elementbyteordermsb", "")).lower() == "true"
    start = mark + len(b"ElementDataFile = LOCAL\n")
    return Packed(path, start, "zlib", stored.newbyteorder(">" if big else "<"))


def _fields(text: bytes, mark: str) -> dict[str, str]:
    lines = (line.partition(mark) for line in text.decode("latin-1").splitlines())
    return {key.strip().lower(): value.strip() for key, found, value in lines if found}


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        passed = len(stream.read(min(count, _STEP)))
        if not passed:
            return
        count -= passed


def _read(stream: IO[bytes], count: int) -> bytes:
    """`count` bytes or what is left; streams may give less at a time."""
    parts: list[bytes] = []
    while count > 0 and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class _Unpacked(io.RawIOBase):
    """One zlib or gzip stream in a file, unpacked as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: either kind

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = b""
        while not content and not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._file.read(_STEP)
            if not packed:
                return 0
            content = self._unpack.decompress(packed, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()
