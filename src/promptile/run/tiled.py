"""A run of everything: tiles answer, and their objects are stitched.

::

    tiles/0/             answers and records of the tiles of level 0 (`TileStore`)
    labels/, layers/1/   label images; below the first one, those of parts, where a hierarchy was asked for
    objects.parquet      the table of objects: written after the labels
    finished.json        the tiles that failed, and why
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from promptile.errors import RunError
from promptile.folders import folder_of
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask, blocks_of
from promptile.run.beginning import begin
from promptile.run.images import LabelImages
from promptile.run.measured import MEASURED
from promptile.run.parts import create_labels, damaged, grid_from, layer_name, read_json
from promptile.run.record import Failure
from promptile.run.store import Run
from promptile.run.tiles import TileStore

_TABLE = "objects.parquet"


class TiledRun(Run):
    """All objects of an image; those of one layer share no sample."""

    @classmethod
    def start(cls, path: str | os.PathLike[str], spec: Mapping[str, Any], *, restart: bool) -> TiledRun:
        """A run to compute, locked for this process; see `PromptedRun.start`.

        `spec` says under ``everything`` which ``levels`` there are, as pairs of a level and its factors, and how many
        ``layers``, and under ``tiling`` the size and overlap of tiles.
        """
        return begin(cls(folder_of(path)), spec, None, restart=restart)

    def create_parts(self, grid: Grid) -> None:
        for store in self.stores:
            store.create()
            if self.painted(store) != self.images:
                self.painted(store).create(store.shape)
            if store.level:
                self.merged(store).create(grid.shape)
        if self.layers > 1:
            self.nested.create(grid.shape)
        for layer in range(1, self.layers):
            create_labels(self.folder, layer_name(layer), grid.shape)

    @property
    def images(self) -> LabelImages:
        """The label images that are the result."""
        return LabelImages.final(self.folder, self.layers)

    def painted(self, store: TileStore) -> LabelImages:
        """What the tiles of one level are painted into: the result itself, if that is all there is to do."""
        more = len(self.stores) > 1 or self.layers > 1
        return LabelImages.of_level(self.folder, store.level, self.layers) if more else self.images

    @property
    def nested(self) -> LabelImages:
        """The images of level 0 in which parts lie within their wholes."""
        return LabelImages.of_level(self.folder, 0, self.layers, "nested")

    def merged(self, store: TileStore) -> LabelImages:
        """The images of level 0 that have the objects of all levels up to this one."""
        return LabelImages.of_level(self.folder, store.level, self.layers, "merged")

    @cached_property
    def stores(self) -> list[TileStore]:
        """The tiles of each level, the finest level first."""
        tiling, grid = self.spec["tiling"], grid_from(self.spec["grid"])
        return [
            TileStore(
                folder=self.folder,
                level=level,
                factors=tuple(factors),
                shape=grid.coarsen(factors).shape,
                size=tuple(tiling["size"]),
                overlap=tuple(tiling["overlap"]),
                layers=self.layers,
            )
            for level, factors in self.spec["everything"]["levels"]
        ]

    @property
    def layers(self) -> int:
        return int(self.spec["everything"]["layers"])

    @property
    def waiting(self) -> str:
        if self.finished:
            return ""
        total = sum(len(store.tiles) for store in self.stores)
        left = total - sum(len(store.done()) for store in self.stores)
        return f"{left} of {total} tiles" if left else ""

    @property
    def failed(self) -> list[Failure]:
        """Tiles without an answer; nothing is known there."""
        if not self.finished:
            return []
        try:
            return [
                Failure("tile", tuple(entry["id"]), entry["error"]) for entry in read_json(self.folder, "finished.json")
            ]
        except (TypeError, LookupError) as error:
            raise damaged(self.folder, "finished.json") from error

    @property
    def complete(self) -> bool:
        """Whether nothing is left to compute: the table of objects may have been lost since."""
        if not self.finished or self.failed:
            return False
        try:
            _ = self.table
        except RunError:
            return False
        return True

    def reopen(self) -> None:
        super().reopen()
        self.folder.remove(_TABLE)
        self.folder.remove(MEASURED)
        self.__dict__.pop("table", None)

    def finish(self, objects: pd.DataFrame, failed: Sequence[Failure]) -> None:
        """Keep the table of objects and what failed: the run is complete."""
        bounds = np.array(objects["bbox"].to_list(), np.int64).reshape(-1)
        boxes = pa.FixedSizeListArray.from_arrays(pa.array(bounds), 2 * self.grid.ndim)
        table = pa.Table.from_pandas(objects.drop(columns="bbox"), preserve_index=False).append_column("bbox", boxes)
        written = io.BytesIO()
        parquet.write_table(table, written, compression="zstd")
        self.folder.write(_TABLE, written.getvalue())
        self.folder.write("finished.json", json.dumps([failure.to_json() for failure in failed]).encode())
        self.__dict__.pop("table", None)

    @property
    def versions(self) -> Mapping[int, int]:
        """All the first: what changes a mask computes the run again, and forgets what was measured."""
        return dict.fromkeys(self.table["id"].tolist(), 1)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per object, sorted by id; none before the run is complete."""
        if not self.finished:
            return pd.DataFrame({"id": np.zeros(0, np.int64), "bbox": [], "open_edge": np.zeros(0, bool)})
        try:
            table = parquet.read_table(io.BytesIO(self.folder.read(_TABLE)))
        except (OSError, pa.ArrowException) as error:
            raise RunError(
                f"{self.folder.place}/{_TABLE} is missing or damaged: give the command of the run again"
            ) from error
        frame: pd.DataFrame = table.drop_columns(["bbox"]).to_pandas()
        boxes = table["bbox"].combine_chunks().flatten().to_numpy().reshape(-1, 2 * self.grid.ndim)
        frame["bbox"] = list(boxes)
        return frame

    def mask(self, object_id: int) -> ObjectMask:
        objects = self.table
        row = int(np.searchsorted(objects["id"], object_id))
        if row == len(objects) or objects["id"].iat[row] != object_id:
            raise RunError(f"There is no object {object_id} in {self.path}")
        box = np.asarray(objects["bbox"].iat[row]).reshape(2, -1)
        layer = int(objects["layer"].iat[row]) if "layer" in objects else 0

        def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
            for block in blocks_of(Window.between(*box.tolist())):
                yield block, self.read_labels(block.clip(self.grid.shape), layer) == object_id

        return ObjectMask.collect(self.grid.shape, parts())
