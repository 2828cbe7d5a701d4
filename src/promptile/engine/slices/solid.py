"""Slices put together again: masks of volumes, block by block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.slices.pieces import Sheet, bounds, draw
from promptile.grid import Window
from promptile.masks import BLOCK, ObjectMask, blocks_of
from promptile.sources.plane import across, thick

_AT_ONCE = 8
"""Blocks along each side of a slice that are drawn together: each piece is unpacked seldom, and memory is bounded."""

_DEEP = 4.0
"""Samples: how far from an outline a vote counts fully."""


def stacked(shape: tuple[int, ...], axis: int, sheets: Mapping[int, Sheet]) -> ObjectMask:
    """The mask whose slices along an axis are `sheets`; no more of it is unpacked at once than a slab."""

    def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
        side = BLOCK[3]
        for first in sorted({index // side * side for index in sheets}):
            slab = {i: sheets[i] for i in range(first, first + side) if i in sheets}
            around = bounds(piece for sheet in slab.values() for piece in sheet)
            for flat in _fields(around, side * _AT_ONCE):
                yield from _blocks(slab, axis, first, flat)

    return ObjectMask.collect(shape, parts())


def _fields(window: Window, side: int) -> Iterator[Window]:
    """Parts of a slice that cover a window."""
    spans = [range(a // side * side, b, side) for a, b in zip(window.start, window.stop, strict=True)]
    for start in itertools.product(*spans):
        yield Window(start, (side, side))


def _blocks(
    slab: Mapping[int, Sheet], axis: int, first: int, flat: Window
) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
    side = BLOCK[3]
    drawn = np.zeros((side, *flat.shape), bool)
    for index, sheet in slab.items():
        drawn[index - first] = draw(sheet, flat)
    whole = np.moveaxis(drawn, 0, axis)
    corner = thick(flat, axis, first).start
    for start in itertools.product(*(range(0, n, side) for n in whole.shape)):
        block = Window(tuple(a + s for a, s in zip(corner, start, strict=True)), (side,) * 3)
        yield block, whole[Window(start, (side,) * 3).slices]


def section(mask: ObjectMask, axis: int, index: int) -> tuple[Window, NDArray[np.bool_]]:
    """The bounding box of a mask in a slice, and what of it is in there."""
    rows, columns = across(axis)
    box = mask.window
    flat = Window((box.start[rows], box.start[columns]), (box.shape[rows], box.shape[columns]))
    return flat, np.take(mask.read(thick(flat, axis, index)), 0, axis=axis)


def voted(masks: list[ObjectMask], spacing: tuple[float, ...]) -> ObjectMask:
    """What most masks of one object say, each sample's vote weighted by how far from the outline it lies.

    The outline is where the sum of the distances to all outlines, none counted farther than a few samples, is 0.
    """
    window = masks[0].window
    for mask in masks[1:]:
        window |= mask.window
    shape, reach = masks[0].shape, int(_DEEP) + 1

    def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
        for block in blocks_of(window):
            seen = block.grow(reach).clip(shape)
            votes = sum(_vote(mask.read(seen), spacing) for mask in masks)
            inside = block.clip(shape)
            yield block, np.asarray(votes > 0)[inside.within(seen).slices]

    return ObjectMask.collect(shape, parts())


def _vote(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance inside the outline, negative outside, up to a few samples."""
    most = _DEEP * min(spacing)
    if mask.all() or not mask.any():
        return np.full(mask.shape, most if mask.all() else -most)
    half = min(spacing) / 2
    inside = ndimage.distance_transform_edt(mask, spacing) - half
    outside = ndimage.distance_transform_edt(~mask, spacing) - half
    vote: NDArray[np.float64] = np.clip(np.where(mask, inside, -outside), -most, most)
    return vote
