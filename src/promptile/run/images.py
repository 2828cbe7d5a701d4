"""Label images of a run: one per layer, on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from promptile.folders import Folder
from promptile.grid import Window
from promptile.run.parts import create_labels, layer_name


@dataclass(frozen=True)
class LabelImages:
    """Label images, one per layer. Can be pickled.

    Parameters
    ----------
    folder : Folder
        Of the run.
    names : tuple of str
        In the folder, one per layer.
    """

    folder: Folder
    names: tuple[str, ...]

    @classmethod
    def final(cls, folder: Folder, layers: int) -> LabelImages:
        """Those that are the result."""
        return cls(folder, tuple(map(layer_name, range(layers))))

    @classmethod
    def of_level(cls, folder: Folder, level: int, layers: int, what: str = "labels") -> LabelImages:
        """Those of one of several levels, from which the result is made."""
        return cls(folder, tuple(f"tiles/{level}/{what}/{layer}" for layer in range(layers)))

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "names": self.names}  # not what was opened

    def create(self, shape: Sequence[int]) -> None:
        """Make them, without objects."""
        for name in self.names:
            create_labels(self.folder, name, shape)

    @cached_property
    def _arrays(self) -> list[zarr.Array[Any]]:
        return [zarr.open_array(self.folder.zarr(name), mode="r+") for name in self.names]

    def read(self, window: Window) -> NDArray[np.uint32]:
        """``(layers, *window.shape)``: ids, 0 is background."""
        return np.stack([np.asarray(array[window.slices], np.uint32) for array in self._arrays])

    def write(self, window: Window, labels: NDArray[np.uint32]) -> None:
        """Replace ``(layers, *window.shape)``."""
        for array, layer in zip(self._arrays, labels, strict=True):
            array[window.slices] = layer
