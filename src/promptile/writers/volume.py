"""Labels as NIfTI, NRRD or MHA on the image's own grid, through ITK."""

from __future__ import annotations

import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from promptile.grid import Grid, Window
from promptile.writers.naming import segments_of
from promptile.writers.origin import label_type
from promptile.writers.placing import sidecars
from promptile.writers.protocol import Result

FAILURES: tuple[type[Exception], ...] = (OSError, RuntimeError)

_SLAB = 2**24
"""Samples that are copied at a time."""


def write(result: Result, path: Path) -> None:
    """Write the ids of the first layer, 0 is background, in the smallest of uint8, uint16 and uint32 that holds them.

    The labels are held once in memory, in that type: ITK compresses images as a whole.
    """
    labels = sitk.Image(result.grid.shape[::-1], _pixel_type(label_type(result)))
    _place(labels, result.grid)
    for slab in _slabs(result.grid):
        part = result.read_labels(slab)
        if part.any():
            cut = tuple(slice(a, b) for a, b in zip(slab.start[::-1], slab.stop[::-1], strict=True))
            labels[cut] = sitk.GetImageFromArray(part.astype(label_type(result)))
    _save(labels, path)
    for sidecar in sidecars(path):
        sidecar.write_text(json.dumps(_names(result), indent=1, ensure_ascii=False), encoding="utf-8")


def _names(result: Result) -> dict[str, Any]:
    """What each label value is: name, category, colour (red, green, blue), score, measures; where they come from."""
    objects = result.objects
    scores = objects["score"].tolist() if "score" in objects else [None] * len(objects)
    labels = {
        str(s.id): {"name": s.name, "category": s.category, "colour": s.colour, "score": None if v != v else v}
        | ({"measures": s.measures} if s.measures else {})
        for s, v in zip(segments_of(result), scores, strict=True)
    }
    return {"labels": labels, "origin": dict(result.origin)}


def _save(labels: sitk.Image, path: Path) -> None:
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetUseCompression(path.suffix != ".nii")
    writer.Execute(labels)
    if ".nii" in path.suffixes:  # on a full disk ITK's NIfTI writer prints a line, but reports success
        size = labels.GetNumberOfPixels() * labels.GetSizeOfPixelComponent()
        if _length(path) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _length(path: Path) -> int:
    """Number of bytes in a file, after decompression if it is compressed."""
    if path.suffix != ".gz":
        return path.stat().st_size
    length = 0
    try:
        with gzip.open(path) as file:
            while part := file.read(_SLAB):
                length += len(part)
    except EOFError:
        pass
    return length


def _place(image: sitk.Image, grid: Grid) -> None:
    """ITK's axes are ``(x, y, z)``; like the grid it counts from centres, in LPS."""
    axes = grid.matrix[:-1, :-1][:, ::-1]
    spacing = np.asarray(grid.spacing[::-1])
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(grid.matrix[:-1, -1].tolist())
    image.SetDirection((axes / spacing).ravel().tolist())


def _slabs(grid: Grid) -> list[Window]:
    """Windows over the whole grid, cut along the first axis."""
    thick = max(1, _SLAB // int(np.prod(grid.shape[1:])))
    return [
        Window((first, *(0,) * (grid.ndim - 1)), (min(thick, grid.shape[0] - first), *grid.shape[1:]))
        for first in range(0, grid.shape[0], thick)
    ]


def _pixel_type(dtype: np.dtype[np.unsignedinteger]) -> int:
    kinds = {"uint8": sitk.sitkUInt8, "uint16": sitk.sitkUInt16, "uint32": sitk.sitkUInt32}
    return int(kinds[dtype.name])
