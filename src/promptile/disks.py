"""What is said when a disk does not take what is written to it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_refusal(error: BaseException) -> bool:
    """Whether a disk is full, or must not be written to."""
    return isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in _FULL)


def in_words(error: OSError, place: str | os.PathLike[str] = "") -> str:
    """What the system could not do, where, and what to do then, in one line.

    Parameters
    ----------
    error : OSError
    place : path, optional
        Where it was to write, if the error does not know.
    """
    where = os.fspath(error.filename or place) if isinstance(error.filename or place, str | os.PathLike) else ""
    if error.errno in _FULL:
        left = f" ({free_space(where)} free)" if where else ""
        text = f"{where or 'A file'} cannot be written: {error.strerror or 'the disk is full'}{left}"
        return f"{text}. Make space there and do the same again, or choose another place"
    cure = ": choose another place" if isinstance(error, PermissionError) else ""
    return f"{error.strerror or error}: {where or 'the disk'}{cure}"


def free_space(place: str | os.PathLike[str]) -> str:
    """How much can still be written where a file or folder lies, or would lie."""
    path = Path(place).expanduser().absolute()
    there = next((folder for folder in (path, *path.parents) if folder.exists()), None)
    return "nothing" if there is None else size_of(shutil.disk_usage(there).free)


def size_of(nbytes: int) -> str:
    """A number of bytes as people say it: ``3.2 GB``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if nbytes >= size:
            return f"{nbytes / size:.3g} {unit}"
    return f"{nbytes / 1000:.3g} kB"
