"""Arrays that are read when they are looked at: what napari gets as a layer's data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from promptile.grid import Window

Read = Callable[[Window], NDArray[Any]]
"""Reads the samples ``window.shape`` of a window of the whole array."""

_BLOCK = 256
"""Side of the blocks that are read together: moving the view a little reads nothing new."""


class LazyArray:
    """An array of which only the part in use is read.

    Indexing with whole numbers and slices gives another lazy array; `numpy.asarray` reads it. So napari, which
    first cuts out the view and then the slice, reads that one slice of that one view.

    Parameters
    ----------
    shape : sequence of int
    dtype : dtype
    read : callable
        Reads a window of the whole array.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, read: Read) -> None:
        self._read = read
        self._spans: tuple[range | int, ...] = tuple(range(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape} {self.dtype}>"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(span) for span in self._spans if isinstance(span, range))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def chunks(self) -> tuple[int, ...]:
        """Steps in which napari enlarges what it asks for."""
        return tuple(min(n, _BLOCK) for n in self.shape)

    def __getitem__(self, key: Any) -> Any:
        parts = self._parts(key)
        if parts is None:
            return np.asarray(self)[key]  # masks, lists of indices, new axes: rare, and never for a whole image
        rest = iter(parts)
        cut = LazyArray((), self.dtype, self._read)
        cut._spans = tuple(span if isinstance(span, int) else span[next(rest)] for span in self._spans)
        return cut

    def _parts(self, key: Any) -> list[slice | int] | None:
        """One slice or whole number per axis; None if the key is more than that."""
        parts = list(key) if isinstance(key, tuple) else [key]
        for i, part in enumerate(parts):
            if part is Ellipsis:
                parts[i : i + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
                break
        parts += [slice(None)] * (self.ndim - len(parts))
        if len(parts) > self.ndim:
            raise IndexError(f"{len(parts)} indices for {self.ndim} axes")
        if all(isinstance(part, slice | int | np.integer) and not isinstance(part, bool) for part in parts):
            return [part if isinstance(part, slice) else int(part) for part in parts]
        return None

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        spans = [range(s, s + 1) if isinstance(s, int) else s for s in self._spans]
        if not all(spans):
            return np.zeros(self.shape, dtype or self.dtype)
        window = Window.between([min(s[0], s[-1]) for s in spans], [max(s[0], s[-1]) + 1 for s in spans])
        samples = self._read(window)[tuple(slice(None, None, s.step) for s in spans)]
        out = samples.reshape(self.shape)
        return out if dtype is None else out.astype(dtype, copy=False)
