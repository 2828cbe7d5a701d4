"""Where things are kept that can be made again, and how much room they may take.

What was said in Python counts before the environment, and that before the default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from promptile.errors import UsageError

FOLDER = "PROMPTILE_CACHE"
"""Environment variable: the folder."""

LIMIT = "PROMPTILE_CACHE_BYTES"
"""Environment variable: bytes that embeddings may take on disk; 0 keeps none."""

DEFAULT_LIMIT = 10 * 10**9


@dataclass
class _Said:
    folder: Path | None = None
    limit: int | None = None


_said = _Said()


def configure(folder: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
    """Say where the caches of this process lie, and how many bytes embeddings may take on disk.

    It holds for images that are opened from now on. None: as the environment says, or the default.

    Raises
    ------
    UsageError
        If the limit is below 0.
    """
    _said.limit = None if limit is None else _checked(limit)
    _said.folder = None if folder is None else Path(folder).expanduser()


def cache_folder() -> Path:
    """The folder in which the caches lie; it need not be there."""
    if _said.folder is not None:
        return _said.folder
    named = os.environ.get(FOLDER)
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("promptile", appauthor=False))


def cache_limit() -> int:
    """Bytes that embeddings may take on disk.

    Raises
    ------
    UsageError
        If the environment says something else than a number.
    """
    return _checked(os.environ.get(LIMIT) or DEFAULT_LIMIT) if _said.limit is None else _said.limit


def _checked(said: str | int) -> int:
    try:
        limit = int(float(said))
    except (ValueError, OverflowError):
        limit = -1
    if limit < 0:
        raise UsageError(f"{LIMIT} is {said!r}: give a number of bytes, like {DEFAULT_LIMIT}, or 0 to keep none")
    return limit
