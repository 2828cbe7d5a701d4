"""Folders that hold a run: on a disk, or behind any URL that fsspec and Zarr write to.

Names inside a folder are relative and have forward slashes, ``commits/000017.json``; a *room* is a folder inside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from promptile.errors import RunError, UsageError

UNFINISHED = ".part"
"""How the name of a file ends that is being written."""


class Folder(Protocol):
    """Named files that are there whole or not at all. Can be pickled, and used from several threads and processes."""

    @property
    def place(self) -> str:
        """Where it is, for people and for `folder_of`."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content; `FileNotFoundError` if it is not there."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file, or leave the old one. Makes the room that it lies in."""
        ...

    def names(self, room: str = "") -> list[str]:
        """What lies directly in a room: files and rooms, sorted, as `read` takes them; none if it is not there."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is such a file or room."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or a room with all that is in it; nothing happens if it is not there."""
        ...

    def zarr(self, name: str = "") -> str:
        """What to give to Zarr for an array or group of this name, ``zarr.open_array(folder.zarr("labels"))``."""
        ...


@dataclass(frozen=True)
class Local:
    """A folder on a disk.

    Parameters
    ----------
    path : Path
        Made when something is written.
    """

    path: Path

    @property
    def place(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two workers may write the same file at the same time: each has a temporary name of its own.
        temporary = path.with_name(f"{path.name}.{uuid4().hex}{UNFINISHED}")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                error.filename = str(path)  # a full disk does not say which file it was
            raise

    def names(self, room: str = "") -> list[str]:
        try:
            return sorted(_inside(room, entry) for entry in os.listdir(self.path / room))
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        return (self.path / name).exists()

    def remove(self, name: str) -> None:
        path = self.path / name
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def zarr(self, name: str = "") -> str:
        return str(self.path / name)


@dataclass(frozen=True)
class Remote:
    """A folder behind a URL. Its files are put in one piece, which object stores do whole or not at all.

    Keys and endpoints come from the environment or fsspec's own configuration, so that every worker finds them.

    Parameters
    ----------
    url : str
        Without a slash at its end.
    """

    url: str

    @property
    def place(self) -> str:
        return self.url

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system and the folder's path in it."""
        try:
            import fsspec
        except ModuleNotFoundError:
            raise UsageError(f"{self.url} needs fsspec: pip install 'promptile[remote]', or give a folder") from None
        try:
            system, root = fsspec.url_to_fs(self.url)
        except (ValueError, ImportError) as error:  # no such scheme, or its package is not installed
            raise UsageError(f"{self.url} cannot be reached: {' '.join(str(error).split())}") from error
        return system, root.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}  # file systems hold connections

    def read(self, name: str) -> bytes:
        with self._using(name) as (system, path):
            return bytes(system.cat_file(path))

    def write(self, name: str, content: bytes) -> None:
        with self._using(name) as (system, path):
            system.pipe_file(path, content)

    def names(self, room: str = "") -> list[str]:
        try:
            with self._using(room) as (system, path):
                system.invalidate_cache()  # other processes write here
                found = system.ls(path, detail=False)
        except FileNotFoundError:
            return []
        entries = (entry.rstrip("/").rpartition("/")[2] for entry in found if entry.rstrip("/") != path)
        return sorted(_inside(room, entry) for entry in entries)

    def exists(self, name: str) -> bool:
        with self._using(name) as (system, path):
            system.invalidate_cache()
            return bool(system.exists(path))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._using(name) as (system, path):
            system.rm(path, recursive=True)

    def zarr(self, name: str = "") -> str:
        return f"{self.url}/{name}".rstrip("/")

    @contextlib.contextmanager
    def _using(self, name: str) -> Iterator[tuple[Any, str]]:
        """The file system and a name's path in it. What storage libraries raise on their own becomes one line."""
        system, root = self._opened
        try:
            yield system, f"{root}/{name}".rstrip("/")
        except FileNotFoundError:
            raise
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            raise RunError(f"{self.url} cannot be used: {line}: check the address and the keys") from error


def folder_of(place: str | os.PathLike[str]) -> Folder:
    """The folder at a path or URL; it need not be there.

    Raises
    ------
    UsageError
        If a ``file:`` URL names another machine.
    """
    text = os.fspath(place)
    if "://" not in text:
        return Local(Path(text).expanduser())
    scheme, _, rest = text.partition("://")
    if scheme.lower() in ("file", "local"):
        host = urlsplit(f"file://{rest}").netloc
        if host not in ("", "localhost"):
            raise UsageError(f"{text} names a folder on {host!r}: write file:///FOLDER with three slashes, or the path")
        return Local(Path(url2pathname(urlsplit(f"file://{rest}").path)))
    return Remote(text.rstrip("/"))


def _inside(room: str, entry: str) -> str:
    return f"{room.strip('/')}/{entry}".lstrip("/")
