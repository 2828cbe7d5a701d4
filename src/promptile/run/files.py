"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from promptile.errors import RunError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name only once it is whole and on disk."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write(path: Path, content: bytes) -> None:
    """Write a whole file, or leave the old one."""
    with replacing(path) as file:
        file.write(content)


def read_json(path: Path) -> Any:
    """What a JSON file of a run holds.

    Raises
    ------
    RunError
        If it is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged: compute the run again with --restart") from error
