"""Where the exports of networks lie: beside their weights, or among Promptile's caches."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from promptile.caches import cache_folder
from promptile.errors import ModelError

VERSION = "export-1"
"""Of the code that makes exports: it changes when files do."""

_RECORD = "export.json"
"""Written last: what the export was made from, and the size of each file."""

_log = logging.getLogger("promptile")


class ExportError(ModelError):
    """A network that cannot be exported, or whose export cannot be kept."""


def exported(weights: Path, kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder that holds an export, made if it is not there or was made from something else.

    Several processes may want the same at a time: each makes its own, and the first to finish is used by all.

    Parameters
    ----------
    weights : path
        The file that the network is loaded from.
    kind : str
        Tells several exports of one file apart; part of a file's name.
    key : str
        All that it depends on: the weights' digest, versions of code. With another key it is made again.
    make : callable
        Writes the files into an empty folder.

    Raises
    ------
    ExportError
        If it cannot be made, or can be written nowhere.
    """
    key = f"{key} {VERSION}"
    places = _places(weights, kind, key)
    for place in places:
        if _is_whole(place, key):
            return place
    refused = []
    for place in places:
        draft = place.with_name(f".{place.name}.{uuid4().hex}")
        try:
            draft.mkdir(parents=True)
        except OSError as error:
            refused.append(f"{place.parent} ({error.strerror})")
            continue
        try:
            _make(draft, place, key, make)
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # nothing is left of it unless something went wrong
        return place
    raise ExportError(
        f"the export of {weights.name} can be written neither to {' nor to '.join(refused)}: set PROMPTILE_CACHE to a "
        "folder that can be written to, or use --runtime torch"
    )


def _places(weights: Path, kind: str, key: str) -> list[Path]:
    """Folders that may hold an export, the best first; the folder of a link belongs to the program that set it."""
    own = cache_folder() / "exports" / f"{key.split()[0][:16]}.{kind}"
    return [own] if weights.is_symlink() else [weights.with_name(f"{weights.name}.{kind}"), own]


def _make(draft: Path, place: Path, key: str, make: Callable[[Path], None]) -> None:
    _log.warning("Exporting the network to %s, once; this may take a minute", place)
    try:
        make(draft)
        sizes = {path.name: path.stat().st_size for path in draft.iterdir()}
        (draft / _RECORD).write_text(json.dumps({"key": key, "sizes": sizes}), encoding="utf-8")
        _put(draft, place, key)
    except (OSError, RuntimeError) as error:  # torch's own are of either kind
        line = str(error).strip().splitlines()[0]
        raise ExportError(f"the export {place} cannot be made ({line}): use --runtime torch") from error


def _put(draft: Path, place: Path, key: str) -> None:
    """Put what was made in its place; what was there goes, unless another process was faster."""
    old = draft.with_name(f"{draft.name}.old")
    try:
        with suppress(FileNotFoundError):
            place.rename(old)
        draft.rename(place)
    except OSError:
        if not _is_whole(place, key):
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _is_whole(place: Path, key: str) -> bool:
    try:
        record = json.loads((place / _RECORD).read_text(encoding="utf-8"))
        return record["key"] == key and all((place / f).stat().st_size == n for f, n in record["sizes"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return False
