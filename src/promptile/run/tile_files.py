"""The tiles of one level, and a file for each that has an answer: a tile counts once its file is there."""

from __future__ import annotations

import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zipfile import BadZipFile

import numpy as np

from promptile.folders import Folder
from promptile.grid import Tile, tiles
from promptile.run.parts import damaged

Index = tuple[int, ...]


@dataclass(frozen=True)
class TileFiles(ABC):
    """The tiles of one level, and what is written down of each. Can be pickled.

    Parameters
    ----------
    folder : Folder
        Of the run.
    level : int
    factors : tuple of int
        Samples of level 0 per sample of this level, along each axis.
    shape : tuple of int
        Of the level.
    size, overlap : tuple of int
        Of the outer windows, per axis.
    """

    folder: Folder
    level: int
    factors: tuple[int, ...]
    shape: tuple[int, ...]
    size: tuple[int, ...]
    overlap: tuple[int, ...]

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}  # not what was opened or computed

    @property
    @abstractmethod
    def files(self) -> str:
        """The room of the files in the folder."""

    @cached_property
    def tiles(self) -> dict[Index, Tile]:
        """All tiles in their order; their cores partition the level."""
        return {tile.index: tile for tile in tiles(self.shape, self.size, self.overlap)}

    def done(self) -> set[Index]:
        """Tiles that have an answer."""
        stems = (name.rpartition("/")[2].removesuffix(".npz") for name in self.folder.names(self.files))
        found = (tuple(map(int, stem.split(","))) for stem in stems if stem.replace(",", "").isdecimal())
        return {index for index in found if index in self.tiles}

    def _keep(self, index: Index, columns: Mapping[str, Any]) -> None:
        """Write a tile's file. A second time leaves the same bytes."""
        packed = io.BytesIO()
        np.savez_compressed(packed, **columns)
        self.folder.write(self._name(index), packed.getvalue())

    @contextmanager
    def _kept(self, index: Index) -> Iterator[Mapping[str, Any]]:
        """What a tile's file holds; what goes wrong in reading it is said to be damage.

        Raises
        ------
        RunError
            If the file is missing or damaged.
        """
        name = self._name(index)
        try:
            with np.load(io.BytesIO(self.folder.read(name)), allow_pickle=False) as stored:
                yield stored
        except (OSError, EOFError, LookupError, ValueError, TypeError, BadZipFile, zlib.error) as error:
            raise damaged(self.folder, name) from error

    def _name(self, index: Index) -> str:
        return f"{self.files}/{','.join(map(str, index))}.npz"
