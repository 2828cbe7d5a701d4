"""What tells one image from another without reading all of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**16
SAMPLES = 16
"""A file's digest covers its first and last block and this many evenly spread between."""

_FILES = 16  # of how many files of a folder the content is sampled; the names and sizes of all of them count


def file_identity(path: str | Path) -> dict[str, Any]:
    """Name, size and digest of a file or folder; a few megabytes are read, whatever the size.

    Files below 18 blocks of 64 KiB are digested whole. Larger ones may change between the sampled blocks
    unnoticed as long as their size stays the same: the price of an answer within milliseconds for 100 GB.
    """
    path = Path(path)
    if path.is_dir():
        return files_identity(path.name, sorted(p for p in path.rglob("*") if p.is_file()), path)
    size = path.stat().st_size
    digest = hashlib.sha256()
    _digest_file(digest, path, size)
    return {"name": path.name, "bytes": size, "digest": digest.hexdigest()}


def files_identity(name: str, paths: Sequence[Path], root: Path) -> dict[str, Any]:
    """The identity of several files that are one image; `root` is what their names are relative to."""
    digest = hashlib.sha256()
    sizes = [p.stat().st_size for p in paths]
    for path, size in zip(paths, sizes, strict=True):
        digest.update(f"{os.path.relpath(path, root)}\0{size}\0".encode())
    for i in _spread(len(paths), _FILES):
        _digest_file(digest, paths[i], sizes[i])
    return {"name": name, "bytes": sum(sizes), "digest": digest.hexdigest()}


def array_identity(array: NDArray[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of an array in memory and of what was said about it."""
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str} {sorted(facts.items())}".encode())
    flat = array.reshape(-1) if array.flags.c_contiguous else None
    if flat is not None:
        step = max(BLOCK // max(array.itemsize, 1), 1)
        blocks: Iterable[NDArray[Any]] = (flat[a : a + step] for a in _offsets(flat.size, step))
    else:
        blocks = iter(array)  # a view of something else has no cheap order of bytes: all of it counts
    for block in blocks:
        digest.update(np.ascontiguousarray(block).tobytes())
    return {"name": "array", "bytes": array.nbytes, "digest": digest.hexdigest()}


def _digest_file(digest: Any, path: Path, size: int) -> None:
    with path.open("rb") as file:
        for offset in _offsets(size, BLOCK):
            file.seek(offset)
            digest.update(file.read(BLOCK))


def _offsets(size: int, block: int) -> list[int]:
    """Where the sampled blocks start: everything if that is little, else head, tail and an even spread."""
    if size <= (SAMPLES + 2) * block:
        return list(range(0, size, block))
    return [i * (size - block) // (SAMPLES + 1) for i in range(SAMPLES + 2)]


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the indices below `count`, first and last among them."""
    if count <= wanted:
        return list(range(count))
    return [i * (count - 1) // (wanted - 1) for i in range(wanted)]
