"""What a key means to the array that is indexed with it: a box, or single samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window


def box_of(key: Any, shape: tuple[int, ...]) -> tuple[Window, tuple[int, ...]] | None:
    """The window that a key of whole numbers and slices means, and the result's shape; None for any other key."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if not all(_is_plain(part) for part in parts):
        return None
    if sum(part is Ellipsis for part in parts) != 1:
        parts.append(Ellipsis)
    at = next(i for i, part in enumerate(parts) if part is Ellipsis)
    parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    if len(parts) != len(shape):
        raise IndexError(f"got {len(parts)} indices, an array of {len(shape)} axes needs no more than that")
    spans = []
    for part, n in zip(parts, shape, strict=True):
        span = range(n)[part] if isinstance(part, slice) else range(n)[part : part + 1 or None]
        if not isinstance(part, slice) and len(span) != 1:
            raise IndexError(f"index {part} is outside an axis of {n}")
        spans.append(span)
    window = Window(tuple(span.start for span in spans), tuple(map(len, spans)))
    return window, tuple(len(s) for s, part in zip(spans, parts, strict=True) if isinstance(part, slice))


def indices_of(key: Any, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    """The index on each axis of every sample that a key means: numpy itself says which they are."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return tuple(np.asarray(np.broadcast_to(axis, shape)[key], np.intp) for axis in axes)


def _is_plain(part: Any) -> bool:
    if isinstance(part, slice):
        return part.step in (None, 1)
    return part is Ellipsis or (isinstance(part, int | np.integer) and not isinstance(part, bool))
