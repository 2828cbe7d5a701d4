"""What a model has seen of an image, and what of that is kept on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.caches import LIMIT
from promptile.embeddings import disk_cache
from promptile.embeddings.keys import identify, shelf_name, window_name
from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.protocols import Embedding, Storable
from promptile.rendering import Rendering
from promptile.sources.protocol import Source

_VALID, _EMBEDDING = "valid", "embedding/"


@dataclass(frozen=True, eq=False)
class Seen:
    """A window that a model has looked at."""

    embedding: Embedding
    valid: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        return self.embedding.nbytes + self.valid.nbytes


class Kept:
    """The embeddings of one image by one model on disk.

    Parameters
    ----------
    source : Source
    rendering : Rendering
    model : Storable
    """

    def __init__(self, source: Source, rendering: Rendering, model: Storable) -> None:
        self._source = source
        self._rendering = rendering
        self._model = model
        self._cache = disk_cache()
        self._shelves: dict[int, str] = {}

    @property
    def obstacle(self) -> str:
        """Why nothing can be kept, in one line; empty if it can."""
        if not self._cache.limit:
            return f"No embeddings are kept: set {LIMIT} to a number of bytes"
        if not self._model.card.digest:
            return f"Model {self._model.card.name!r} cannot be told from others: its card needs a digest"
        if not identify(self._source):
            return f"{self._source.name} cannot be told from other images at a glance: write it to a file first"
        return ""

    def has(self, window: Window, level: int) -> bool:
        return self._cache.has(self._shelf(level), window_name(window))

    def read(self, window: Window, level: int) -> Seen | None:
        """What was seen of a window; None if it is not there, or damaged."""
        arrays = self._cache.read(self._shelf(level), window_name(window))
        if arrays is None:
            return None
        valid = np.unpackbits(arrays.pop(_VALID), count=window.size).astype(bool).reshape(window.shape)
        packed = {name.removeprefix(_EMBEDDING): array for name, array in arrays.items()}
        return Seen(self._model.unpack(packed), valid)

    def write(self, window: Window, level: int, packed: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_]) -> int:
        """Keep what `Storable.pack` gave for a window, and where it is valid; how many bytes that takes.

        Raises
        ------
        ModelError
            If that is something else than numbers.
        OSError
            If the disk is full or the folder must not be written to.
        """
        wrong = [name for name, array in packed.items() if np.asarray(array).dtype.kind not in "biuf"]
        if wrong:
            raise ModelError(
                f"Model {self._model.card.name!r} packs {wrong[0]!r} as {np.asarray(packed[wrong[0]]).dtype}: its pack "
                "must return arrays of plain numbers, like float16"
            )
        arrays = {_VALID: np.packbits(valid)} | {_EMBEDDING + name: array for name, array in packed.items()}
        about = {
            "image": self._source.name,
            "model": self._model.card.name,
            "level": level,
            "shape": list(self._source.grid.coarsen(self._source.levels[level]).shape),
            "rendering": self._rendering.to_json(),
        }
        return self._cache.write(self._shelf(level), window_name(window), arrays, about)

    def _shelf(self, level: int) -> str:
        if level not in self._shelves:
            self._shelves[level] = shelf_name(self._source, self._rendering, self._model.card.digest, level)
        return self._shelves[level]
