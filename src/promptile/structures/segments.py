"""Segments of a DICOM Segmentation."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.errors import SourceError
from promptile.grid import Grid
from promptile.structures.types import Structure

_OFF = 0.02
"""How far the samples of a frame may lie from those of the image, in samples."""

_OURS = re.compile(r"object (\d+)")
"""What our own files call the track of an object."""


def read(file: Any, grid: Grid, name: str) -> list[Structure]:
    """One structure per segment; of fractions, what is at least half."""
    labelled = str(file.get("SegmentationType")) == "LABELMAP"
    half = int(file.get("MaximumFractionalValue") or 255) / 2 if file.get("SegmentationType") == "FRACTIONAL" else 0.5
    shared = (file.get("SharedFunctionalGroupsSequence") or [{}])[0]
    places: dict[int, list[NDArray[np.int32]]] = defaultdict(list)
    for frame, samples in zip(file.PerFrameFunctionalGroupsSequence, _frames(file), strict=True):
        numbers = [int(n) for n in np.unique(samples) if n] if labelled else [_number(frame, shared)]
        for number in numbers:
            inside = np.argwhere(samples == number if labelled else samples >= half)
            if len(inside):
                places[number].append(_on_grid(inside, frame, shared, grid, name))
    if untold := places.keys() - {int(s.SegmentNumber) for s in file.SegmentSequence}:
        raise SourceError(f"{name} has samples of segment {min(untold)}, but does not say what that is: get it again")
    return [
        Structure.of(_id(s), str(s.get("SegmentLabel") or ""), places[int(s.SegmentNumber)])
        for s in file.SegmentSequence
        if int(s.SegmentNumber)
    ]


def _frames(file: Any) -> Iterator[NDArray[np.integer[Any]]]:
    """The samples ``(rows, columns)`` of each frame; single bits lie without a gap between frames."""
    if int(file.BitsAllocated) > 1 or file.file_meta.TransferSyntaxUID.is_compressed:
        from pydicom.pixels.utils import iter_pixels

        yield from iter_pixels(file)
        return
    size = int(file.Rows) * int(file.Columns)
    bits = size * int(file.get("NumberOfFrames") or 1)
    packed = np.frombuffer(file.PixelData, np.uint8)
    least = -(-bits // 8)
    if len(packed) not in (least, least + least % 2):
        raise ValueError(f"{len(packed)} bytes for {bits} samples")
    for first in range(0, bits, size):
        some = packed[first // 8 : -(-(first + size) // 8)]
        samples = np.unpackbits(some, bitorder="little")[first % 8 :][:size]
        yield samples.reshape(int(file.Rows), int(file.Columns))


def _id(segment: Any) -> int:
    ours = _OURS.fullmatch(str(segment.get("TrackingID") or ""))
    return int(ours.group(1)) if ours else int(segment.SegmentNumber)


def _group(name: str, frame: Any, shared: Any) -> Any:
    return (frame.get(name) or shared.get(name))[0]


def _number(frame: Any, shared: Any) -> int:
    return int(_group("SegmentIdentificationSequence", frame, shared).ReferencedSegmentNumber)


def _on_grid(inside: NDArray[np.intp], frame: Any, shared: Any, grid: Grid, name: str) -> NDArray[np.int32]:
    """Indices on the grid ``(n, 3)`` of samples ``(row, column)`` of a frame."""
    origin = np.asarray(_group("PlanePositionSequence", frame, shared).ImagePositionPatient, float)
    axes = np.asarray(_group("PlaneOrientationSequence", frame, shared).ImageOrientationPatient, float).reshape(2, 3)
    down, right = map(float, _group("PixelMeasuresSequence", frame, shared).PixelSpacing)
    corners = inside[[0, -1]] if len(inside) > 1 else inside
    steps = np.stack([axes[1] * down, axes[0] * right])  # (row, column)
    exact = grid.to_index(origin + corners @ steps)
    first, apart = grid.to_index(origin), grid.to_index(origin + steps) - grid.to_index(origin)
    index = np.rint(first) + inside @ np.rint(apart)
    ends = index[[0, -1]] if len(inside) > 1 else index
    if np.abs(ends - exact).max() > _OFF:
        raise SourceError(f"{name} lies on another grid than the image: give the series it belongs to, or resample it")
    if (index < 0).any() or (index >= grid.shape).any():
        raise SourceError(f"{name} reaches outside the image: give the series it belongs to")
    return np.asarray(index, np.int32)
