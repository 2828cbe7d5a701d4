"""Where the weights of models lie, and what is wrong with a file that holds none. No torch here."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from promptile.caches import cache_folder
from promptile.errors import ModelError
from promptile.models.published import Part, Published

FOLDERS = "PROMPTILE_WEIGHTS"
"""Environment variable: folders that are looked into first, separated as in PATH."""

_POINTER = b"version https://git-lfs"


def folders() -> list[Path]:
    """Where weights are looked for by name, in this order; the last lies with Promptile's caches."""
    named = [Path(part).expanduser() for part in os.environ.get(FOLDERS, "").split(os.pathsep) if part]
    return [*named, cache_folder() / "weights"]


def find(model: str, names: Sequence[str], page: str, given: Path | str | None = None) -> Path:
    """The weights file of a model.

    Parameters
    ----------
    model : str
        What the user calls the model.
    names : sequence of str
        Names that the file may have; the first is what its authors call it.
    page : str
        Where its authors publish it.
    given : path, optional
        The file itself; nothing is looked for then.

    Raises
    ------
    ModelError
        If it is nowhere.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise ModelError(f"There are no weights at {path}: give the path of a file, like {names[0]} from {page}")
        return path
    if (found := in_folders(names)) is not None:
        return found
    places = " or ".join(map(str, folders()))
    raise ModelError(
        f"Model {model!r} needs its weights {names[0]}, and they are not in {places}: get them "
        f"with promptile models fetch {model}, or download {page} and set {FOLDERS} to the folder that holds it"
    )


def in_folders(names: Sequence[str]) -> Path | None:
    """The first file of these names in the `folders`; None if it is in none."""
    found = (folder / name for folder in folders() for name in names if (folder / name).is_file())
    return next(found, None)


def in_hub_cache(repository: str, names: Sequence[str]) -> Path | None:
    """A file of a repository among those that Hugging Face's own tools have downloaded, the newest; None if not there.

    Parameters
    ----------
    repository : str
        Such as ``facebook/sam2.1-hiera-tiny``.
    names : sequence of str
        Names that the file may have, the best first.
    """
    for name in names:
        if found := [path for folder in _hub_snapshots(repository) for path in folder.glob(name)]:
            return max(found, key=lambda path: path.stat().st_mtime)
    return None


def _hub_snapshots(repository: str) -> Iterator[Path]:
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    yield from cache.glob(f"models--{repository.replace('/', '--')}/snapshots/*")


def located(wanted: Published) -> Path | None:
    """The weights of a model, a file or a snapshot's folder, among those that are looked for; None if not there."""
    if wanted.parts:
        return next((folder for folder in _snapshots(wanted) if not lacking(folder, wanted.parts)), None)
    if wanted.repository and (found := in_hub_cache(wanted.repository, wanted.snapshot)):
        return found
    return in_folders(wanted.files)


def find_snapshot(wanted: Published, given: Path | str | None = None) -> Path:
    """The folder of a model's snapshot.

    Parameters
    ----------
    wanted : Published
    given : path, optional
        The folder itself, or a file in it; nothing is looked for then.

    Raises
    ------
    ModelError
        If it is nowhere, or files are missing in the one that was given.
    """
    needs = ", ".join(part.names[0] for part in wanted.parts if part.needed)
    if given is not None:
        folder = Path(given).expanduser()
        folder = folder.parent if folder.is_file() else folder
        if not folder.is_dir():
            raise ModelError(f"There are no weights at {folder}: give the folder that holds {needs} from {wanted.url}")
        if missing := lacking(folder, wanted.parts):
            raise ModelError(f"The folder {folder} lacks {', '.join(missing)}: it needs all files of {wanted.url}")
        return folder
    if (found := located(wanted)) is not None:
        return found
    places = " or ".join(map(str, folders()))
    raise ModelError(
        f"Model {wanted.model!r} needs its weights, a folder {wanted.file} with {needs}, and it is not in {places}: "
        f"get them with promptile models fetch {wanted.model}, or download {wanted.url} and set {FOLDERS} to the "
        f"folder that holds it"
    )


def lacking(folder: Path, parts: Sequence[Part]) -> list[str]:
    """Files that a snapshot needs and a folder does not hold, by their best names."""
    return [
        part.names[0] for part in parts if part.needed and not any((folder / name).is_file() for name in part.names)
    ]


def _snapshots(wanted: Published) -> Iterator[Path]:
    """Folders that may hold a snapshot."""
    yield from (folder / name for folder in folders() for name in wanted.files)
    if wanted.repository:
        yield from sorted(_hub_snapshots(wanted.repository), key=lambda path: path.stat().st_mtime, reverse=True)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def complaint(path: Path) -> str:
    """What is wrong with a file that should hold weights and cannot be read; for the end of a sentence."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        return f"{error.strerror}"
    if not size:
        return "it is empty"
    if start.startswith(_POINTER):
        return "it is a pointer of Git LFS that stands for the file: run git lfs pull"
    if start.lstrip()[:1] == b"<":
        return "it is a web page: download the file itself"
    if path.suffix == ".safetensors":
        return f"its header does not fit its {size:,} bytes: download it again"
    if start.startswith(b"PK") and not zipfile.is_zipfile(path):
        return f"its end is missing after {size:,} bytes: download it again"
    return "it holds no tensors, or more than tensors, which is not loaded for safety: get it from its authors"
