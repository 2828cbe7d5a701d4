"""What tells one image from another without reading all of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHOLE = 2**25
"""Bytes: files up to this size count as a whole."""

BLOCK = 2**16
SAMPLES = 16
"""Of a larger file, its first and last block count, and this many evenly spread between."""

_FILES = 256  # of how many files of a folder the content counts; the names and sizes of all of them do


def file_identity(path: str | Path) -> dict[str, Any]:
    """Name, size and digest of a file or folder: milliseconds whatever the size, a few tens of them below 32 MB.

    A large file may change between the sampled blocks unnoticed as long as its size stays the same.
    """
    path = Path(path)
    if path.is_dir():
        return files_identity(path.name, sorted(p for p in path.rglob("*") if p.is_file()), path)
    size = path.stat().st_size
    digest = hashlib.sha256()
    _digest_file(digest, path, _offsets(size, BLOCK, WHOLE))
    return {"name": path.name, "bytes": size, "digest": digest.hexdigest()}


def files_identity(name: str, paths: Sequence[Path], root: Path) -> dict[str, Any]:
    """The identity of several files that are one image; `root` is what their names are relative to."""
    digest = hashlib.sha256()
    sizes = [p.stat().st_size for p in paths]
    for path, size in zip(paths, sizes, strict=True):
        digest.update(f"{os.path.relpath(path, root)}\0{size}\0".encode())
    chosen = _spread(len(paths), _FILES)
    whole = WHOLE // max(len(chosen), 1)
    for i in chosen:
        _digest_file(digest, paths[i], _offsets(sizes[i], BLOCK, whole))
    return {"name": name, "bytes": sum(sizes), "digest": digest.hexdigest()}


def array_identity(array: NDArray[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of an array in memory and of what was said about it."""
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str} {sorted(facts.items())}".encode())
    flat = array.reshape(-1) if array.flags.c_contiguous else None
    if flat is not None:
        step = max(BLOCK // max(array.itemsize, 1), 1)
        offsets = _offsets(flat.size, step, WHOLE // max(array.itemsize, 1))
        blocks: Iterable[NDArray[Any]] = (flat[a : a + step] for a in offsets)
    else:
        blocks = iter(array)  # a view of something else has no cheap order of bytes: all of it counts
    for block in blocks:
        digest.update(np.ascontiguousarray(block).tobytes())
    return {"name": "array", "bytes": array.nbytes, "digest": digest.hexdigest()}


def _digest_file(digest: Any, path: Path, offsets: Iterable[int]) -> None:
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            digest.update(file.read(BLOCK))


def _offsets(size: int, block: int, whole: int) -> list[int]:
    """Where the blocks that count start: everything up to `whole`, else head, tail and an even spread."""
    if size <= max(whole, (SAMPLES + 2) * block):
        return list(range(0, size, block))
    return [i * (size - block) // (SAMPLES + 1) for i in range(SAMPLES + 2)]


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the indices below `count`, first and last among them."""
    if count <= wanted:
        return list(range(count))
    return [i * (count - 1) // (wanted - 1) for i in range(wanted)]
