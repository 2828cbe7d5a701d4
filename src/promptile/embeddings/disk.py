"""Embeddings on disk, up to a number of bytes; the least recently used go first.

::

    embeddings/
        1f0c…/                      a shelf: one image, model, rendering and level
            shelf.json              what it is, for people
            0-512+1024-1024.seen    a window: its start and shape
            ….part                  a window that is being written

A file is there whole or not at all, and its checksum tells what was damaged later; that is computed again. Several
processes may read, write and make room at the same time.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]

_SEEN, _PART, _ABOUT = ".seen", ".part", "shelf.json"

_HEAD = struct.Struct(">4sQI")
"""Before the content: what it is, its length and its checksum."""
_MAGIC = b"PTE1"

_SLACK = 32
"""The folder is measured whenever one part in so many of the limit was written."""

_STALE = 3600
"""Seconds after which a file that is still being written has been given up."""


@dataclass(frozen=True)
class Entry:
    """A window on a shelf."""

    path: Path
    nbytes: int
    used: float
    """Seconds since the epoch."""


class DiskCache:
    """Named arrays in files, bounded by bytes.

    Parameters
    ----------
    folder : Path
        Made when something is written.
    limit : int
        Bytes to keep at most. Several processes that write at the same time may be beyond it by a thirtieth each.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._lock = threading.Lock()
        self._room = 0  # bytes that may be written before the folder is measured again

    def has(self, shelf: str, name: str) -> bool:
        """Whether there is such an entry, not cut short; it counts as used."""
        path = self._path(shelf, name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
            whole = _length(file.read(_HEAD.size)) == os.fstat(file.fileno()).st_size
            return whole and _touch(path)
        return False

    def read(self, shelf: str, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of an entry, which may be written to; None if it is not there or damaged."""
        path = self._path(shelf, name)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        arrays = _decode(content)
        if arrays is None:
            _log.warning("%s is damaged and will be made again", path)
            return None
        _touch(path)
        return arrays

    def write(self, shelf: str, name: str, arrays: Arrays, about: Mapping[str, Any]) -> int:
        """Keep arrays under a name; how many bytes they take. `about` says what the shelf holds, for people.

        What is larger than the whole cache may be is not kept, and takes 0 bytes.

        Raises
        ------
        OSError
            If the disk is full or the folder must not be written to.
        """
        content = _encode(arrays)
        if len(content) > self.limit:
            return 0
        self._make_room(len(content))
        path = self._path(shelf, name)
        with contextlib.suppress(FileNotFoundError):  # another process may remove the shelf while it is empty
            return self._put(path, content, about)
        return self._put(path, content, about)

    def entries(self) -> Iterator[Entry]:
        """All windows, in no order."""
        for shelf in _listed(self.folder):
            for path in _listed(shelf):
                if path.suffix == _SEEN:
                    with contextlib.suppress(FileNotFoundError):
                        stat = path.stat()
                        yield Entry(path, stat.st_size, stat.st_mtime)

    def about(self, shelf: str) -> dict[str, Any]:
        """What was said about a shelf when it was made; empty if that is not known."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.folder / shelf / _ABOUT).read_bytes()))
        return {}

    def clear(self) -> int:
        """Remove all entries, and nothing else that may lie in the folder; how many bytes they took."""
        freed = 0
        for entry in self.entries():
            freed += entry.nbytes
            entry.path.unlink(missing_ok=True)
        self._sweep(age=0)
        return freed

    def _path(self, shelf: str, name: str) -> Path:
        return self.folder / shelf / f"{name}{_SEEN}"

    def _put(self, path: Path, content: bytes, about: Mapping[str, Any]) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (described := path.with_name(_ABOUT)).exists():
            _replace(described, json.dumps(about, indent=1).encode())
        _replace(path, content)
        return len(content)

    def _make_room(self, nbytes: int) -> None:
        with self._lock:
            if self._room < nbytes:
                self._room = max(self.limit // _SLACK, nbytes)
                self._shrink(self.limit - self._room)
            self._room -= nbytes

    def _shrink(self, limit: int) -> None:
        """Remove what was not used for longest until the rest fits, and what killed processes left."""
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        total = sum(entry.nbytes for entry in entries)
        for entry in entries:
            if total <= limit:
                break
            with contextlib.suppress(FileNotFoundError, PermissionError):  # gone, or open elsewhere on Windows
                entry.path.unlink()
            total -= entry.nbytes
        self._sweep(age=_STALE)

    def _sweep(self, age: float) -> None:
        """Remove parts that nobody finishes, and shelves without windows."""
        for shelf in _listed(self.folder):
            with contextlib.suppress(OSError):  # another process uses it again
                paths = list(_listed(shelf))
                for path in paths:
                    if path.suffix == _PART and time.time() - path.stat().st_mtime >= age:
                        path.unlink()
                if [path.name for path in _listed(shelf)] == [_ABOUT]:
                    (shelf / _ABOUT).unlink()
                    shelf.rmdir()


def _listed(folder: Path) -> Iterator[Path]:
    """What lies in a folder; nothing if it is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield from list(folder.iterdir())


def _touch(path: Path) -> bool:
    """Mark as used just now; False if it is not there any more."""
    with contextlib.suppress(FileNotFoundError):
        with contextlib.suppress(PermissionError):  # somebody else's, which may be read all the same
            os.utime(path)
        return True
    return False


def _replace(path: Path, content: bytes) -> None:
    """Write a whole file, or leave the old one."""
    part = path.with_name(f"{path.name}.{uuid4().hex}{_PART}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if not (isinstance(error, PermissionError) and path.exists()):  # on Windows while another process reads it
            raise


def _encode(arrays: Arrays) -> bytes:
    out = io.BytesIO()
    names = np.frombuffer(json.dumps(list(arrays)).encode(), np.uint8)
    for array in (names, *arrays.values()):
        np.lib.format.write_array(out, array, allow_pickle=False)
    content = out.getvalue()
    return _HEAD.pack(_MAGIC, len(content), zlib.crc32(content)) + content


def _decode(content: bytes) -> dict[str, NDArray[Any]] | None:
    """The arrays; None if anything is damaged."""
    if _length(content) != len(content):
        return None
    if zlib.crc32(memoryview(content)[_HEAD.size :]) != _HEAD.unpack_from(content)[2]:
        return None
    stream = io.BytesIO(content)
    stream.seek(_HEAD.size)
    names = json.loads(np.lib.format.read_array(stream, allow_pickle=False).tobytes())
    return {name: np.lib.format.read_array(stream, allow_pickle=False) for name in names}


def _length(content: bytes) -> int:
    """How long a file must be, as its head says; -1 if that is none."""
    if len(content) < _HEAD.size:
        return -1
    magic, length, _ = _HEAD.unpack_from(content)
    return _HEAD.size + int(length) if magic == _MAGIC else -1
