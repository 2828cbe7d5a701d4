"""Images that cannot be read by window: read once from end to end, kept in memory or in a cache on disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from promptile.caches import cache_folder
from promptile.errors import SourceError
from promptile.grid import Window
from promptile.sources.bad import logger
from promptile.sources.image import Facts, Identify
from promptile.sources.levels import Resolution

IN_MEMORY = 2**28
"""Bytes: up to this size an image is kept in memory, above it in the cache."""

KEEP_DAYS = 30
"""Images of the cache that were not used for so long make room for new ones."""

SLAB = 32
"""How many slices are decoded together at most, and the depth of the cache's blocks."""

_BLOCK = (SLAB, 256, 256)
_DAY = 24 * 3600

Slabs = Callable[[], Iterator[NDArray[Any]]]
"""Starts reading from the first slice; yields ``(c, at most SLAB, y, x)`` (``(c, y, x)`` for 2D) in order."""


class Whole(Resolution):
    """Samples that have to be read from end to end, on the first access.

    Parameters
    ----------
    facts : Facts
    slabs : callable
    identify : callable
        Of the image as it will be read, with the time point or series: what the cache is found by.
    """

    def __init__(self, facts: Facts, slabs: Slabs, identify: Identify) -> None:
        shape = facts.grid.shape
        super().__init__(shape, (1.0,) * len(shape), _BLOCK[-len(shape) :])
        self._facts = facts
        self._slabs = slabs
        self._identify = identify
        self._lock = threading.Lock()

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        with self._lock:  # two threads must not both read the whole file
            held = self._held
        if isinstance(held, np.ndarray):
            return held[:, *window.slices][list(channels)]
        return np.stack([np.asarray(held[c, *window.slices]) for c in channels])

    @cached_property
    def _held(self) -> Any:
        """All samples ``(c, *shape)``, as an array or a Zarr array."""
        facts = self._facts
        count = len(facts.channels) * facts.grid.window.size
        if count * facts.dtype.itemsize <= IN_MEMORY:
            whole = np.empty((len(facts.channels), *facts.grid.shape), facts.dtype)
            _fill(whole, self._slabs(), facts)
            return whole
        return self._cached()

    def _cached(self) -> zarr.Array[Any]:
        facts = self._facts
        key = json.dumps([dict(self._identify()), facts.grid.shape, facts.dtype.str], sort_keys=True)
        place = folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.zarr"
        if not place.exists():
            _forget(folder(), facts)
            partial = place.with_name(f"{uuid.uuid4().hex}.partial")
            logger.info("%s cannot be read by window: unpacking it once into %s", facts.name, place)
            try:
                _fill(_create(partial, facts), self._slabs(), facts)
                if not place.exists():  # another process may have been faster
                    partial.rename(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        (place / "used").touch()
        return zarr.open_array(place, mode="r")


def folder() -> Path:
    """Where unpacked images are kept."""
    return cache_folder() / "unpacked"


def _create(place: Path, facts: Facts) -> zarr.Array[Any]:
    shape = (len(facts.channels), *facts.grid.shape)
    place.parent.mkdir(parents=True, exist_ok=True)
    block = (1, *(min(n, b) for n, b in zip(facts.grid.shape, _BLOCK[-facts.grid.ndim :], strict=True)))
    return zarr.create_array(place, shape=shape, dtype=facts.dtype, chunks=block)


def _fill(whole: Any, slabs: Iterator[NDArray[Any]], facts: Facts) -> None:
    """Copy slabs into `whole`, and say every tenth of the way how far it is."""
    length = facts.grid.shape[0]
    first = 0
    for slab in slabs:
        stop = first + slab.shape[1]
        whole[:, first:stop] = slab.astype(facts.dtype, copy=False)
        if first * 10 // length != stop * 10 // length and not isinstance(whole, np.ndarray):
            logger.info("%s: %d %% unpacked", facts.name, 100 * stop // length)
        first = stop
    if first != length:
        raise SourceError(f"{facts.name} ends after slice {first} of {length}: get it again")


def _forget(place: Path, facts: Facts) -> None:
    """Remove what was not used for long, and refuse to fill the disk."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        mark = old / "used"
        used = (mark if mark.exists() else old).stat().st_mtime
        if time.time() - used > KEEP_DAYS * _DAY:
            shutil.rmtree(old, ignore_errors=True)
    needed = len(facts.channels) * facts.grid.window.size * facts.dtype.itemsize
    free = shutil.disk_usage(place).free
    if needed > free:
        raise SourceError(
            f"{facts.name} needs up to {needed / 1e9:.1f} GB in {place}, which has {free / 1e9:.1f} GB: make room, or"
            " store it uncompressed as .nii or .mha, which is read by window"
        )
