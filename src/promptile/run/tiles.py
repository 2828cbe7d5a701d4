"""Answers of the tiles of one level, as a run keeps them.

::

    tiles/0/answers             Zarr array uint16 (*tiles, layers, *outer window): one stored piece per tile
    tiles/0/records/3,4.npz     what is known of the tile's objects: written after the answer, so a tile counts only
                                once it is whole
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from promptile.grid import Tile, Window
from promptile.run.parts import damaged
from promptile.run.tile_files import TileFiles
from promptile.stitching.types import LOCAL, Index, TileAnswer, TileObjects

_RECENT = 12
"""Answers that are kept in memory: 24 MB of tiles of 1024 x 1024, with one layer."""


@dataclass(frozen=True)
class TileStore(TileFiles):
    """The tiles of one level and their answers.

    Parameters
    ----------
    layers : int
        How many layers an answer has.
    others
        See `TileFiles`.
    """

    layers: int

    @property
    def room(self) -> str:
        return f"tiles/{self.level}"

    @property
    def files(self) -> str:
        return f"{self.room}/records"

    @property
    def counts(self) -> tuple[int, ...]:
        """How many tiles there are along each axis."""
        return tuple(i + 1 for i in next(reversed(self.tiles)))

    @cached_property
    def outer(self) -> tuple[int, ...]:
        """The shape of all outer windows."""
        return tuple(map(min, self.size, self.shape))

    def create(self) -> None:
        """Make the arrays, without an answer."""
        outer = (self.layers, *self.outer)
        zarr.create_array(
            self.folder.zarr(f"{self.room}/answers"),
            shape=(*self.counts, *outer),
            chunks=(*(1 for _ in self.shape), *outer),
            dtype=LOCAL,
            fill_value=0,
            compressors=ZstdCodec(level=1),
            overwrite=True,
        )

    @cached_property
    def _answers(self) -> zarr.Array[Any]:
        return zarr.open_array(self.folder.zarr(f"{self.room}/answers"), mode="r+")

    def commit(self, tile: Tile, answer: TileAnswer | None, objects: TileObjects) -> None:
        """Keep the answer of a tile; None if there is nothing to see in it. A second time leaves the same bytes."""
        if answer is not None:
            self._answers[tile.index] = answer.labels
        self.__dict__.pop("_recent", None)
        self._keep(tile.index, {"objects": _as_rows(objects)})

    def objects(self, index: Index) -> TileObjects:
        """What is known of the objects of a tile."""
        with self._kept(index) as stored:
            rows = stored["objects"]
            return TileObjects(**{field.name: rows[field.name] for field in fields(TileObjects)})

    def read(self, index: Index, window: Window) -> NDArray[np.uint16]:
        """``(layers, *window.shape)``: a tile's own ids in a window of the level inside its outer window."""
        inside = window.within(self.tiles[index].outer).slices
        found: NDArray[np.uint16] = self._recent(index)[(slice(None), *inside)]
        return found

    @cached_property
    def _recent(self) -> Callable[[Index], NDArray[np.uint16]]:
        """Whole answers, the last ones kept: neighbours and blocks ask for the same tiles one after the other."""

        def whole(index: Index) -> NDArray[np.uint16]:
            try:
                answer = np.asarray(self._answers[index], LOCAL)
            except (OSError, LookupError, ValueError, RuntimeError) as error:
                raise damaged(self.folder, f"{self.room}/answers") from error
            if self.objects(index).counts.any() and not answer.any():  # Zarr reads what is not there as background
                raise damaged(self.folder, f"{self.room}/answers")
            return answer

        return lru_cache(maxsize=_RECENT)(whole)


def _as_rows(objects: TileObjects) -> NDArray[np.void]:
    """One array with a row per object: the header of an array costs more to read than most tiles' rows."""
    columns = {field.name: getattr(objects, field.name) for field in fields(TileObjects)}
    rows = np.empty(len(objects.counts), [(name, c.dtype, c.shape[1:]) for name, c in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    return rows
