"""A result's objects as a stream of features: attributes and geometries in Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from promptile.grid import LPS, PIXELS
from promptile.masks import ObjectMask
from promptile.measures import measure_name
from promptile.vectors.shapes import Shaper
from promptile.vectors.shaping import Shaping
from promptile.vectors.streams import Labels, stream
from promptile.writers.protocol import Result

GEOMETRY = "geometry"
_WKB = {"ARROW:extension:name": "geoarrow.wkb"}

_BATCH_OBJECTS, _BATCH_BLOCKS = 10_000, 256
"""A batch ends with either: it holds outlines, and of the masks at most 8 MB."""


class Features:
    """One MultiPolygon with attributes per object that has samples.

    Parameters
    ----------
    result : Result
    shaping : Shaping
        What is done to outlines, and which objects are left out.
    short : mapping of str to str
        Other names for attributes.
    longest : float, optional
        Edges longer than this, in the world's units, get more vertices.
    """

    def __init__(self, result: Result, shaping: Shaping, short: dict[str, str], longest: float | None = None) -> None:
        self.space = None if result.grid.space in (LPS, PIXELS) else result.grid.space
        self.left_out = 0
        """How many objects had no samples; known once all batches were taken."""
        self.failure: BaseException | None = None
        """What went wrong in `batches`: the libraries that take them pass on no more than its text."""
        self._result = result
        self._objects = result.objects
        self._shaping = shaping
        self._measure = measure_name(result.grid)
        self._types = _types(self._objects, self._measure)
        self._longest = longest
        fields = [pa.field(short.get(name, name), kind) for name, kind in self._types.items()]
        self.schema = pa.schema([*fields, pa.field(GEOMETRY, pa.binary(), metadata=_WKB)])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The features, a bounded number at a time.

        Those of label images come in the order in which a scan from top to bottom finishes them, layer by layer;
        those of masks in the order of the table.
        """
        try:
            for rows, shapes in self._from_labels() if self._result.layers else self._from_masks():
                if self._longest is not None:
                    shapes = shapely.segmentize(shapes, self._longest)
                columns = [
                    pa.array(rows[name] if name in rows else [None] * len(rows), kind, from_pandas=True)
                    for name, kind in self._types.items()
                ]
                yield pa.record_batch([*columns, pa.array(shapely.to_wkb(shapes), pa.binary())], self.schema)
        except BaseException as error:
            if not isinstance(error, GeneratorExit):  # that is how the taker says that it failed itself
                self.failure = error
            raise

    def _from_labels(self) -> Iterator[tuple[pd.DataFrame, NDArray[np.object_]]]:
        """Rows of the table with their geometries, for objects that lie in label images."""
        ids = self._objects["id"].to_numpy(np.int64)
        boxes = np.array([*self._objects["bbox"]], np.int64).reshape(len(ids), 2, 2)
        sizes = self._sizes(self._objects)
        self.left_out = int(np.count_nonzero(self._shaping.keeps(sizes)))
        for layer in range(self._result.layers):
            read = partial(self._result.read_labels, layer=layer)
            labels = Labels(read, self._result.grid, ids, boxes, sizes)
            for numbers, shapes in stream(labels, self._shaping):
                self.left_out -= len(numbers)
                yield self._objects.iloc[np.searchsorted(ids, numbers)], shapes

    def _from_masks(self) -> Iterator[tuple[pd.DataFrame, NDArray[np.object_]]]:
        """Rows of the table with their geometries, for objects that have masks of their own."""
        objects = self._objects[self._shaping.keeps(self._sizes(self._objects))]
        shaper = Shaper(self._result.grid, self._shaping)
        masks: list[ObjectMask] = []
        begin, blocks = 0, 0
        for end, number in enumerate(objects["id"], 1):
            masks.append(self._result.mask(int(number)))
            blocks += len(masks[-1].bits)
            if len(masks) < _BATCH_OBJECTS and blocks < _BATCH_BLOCKS and end < len(objects):
                continue
            shown = np.array([mask.count > 0 for mask in masks])
            self.left_out += int(np.count_nonzero(~shown))
            rows = objects.iloc[begin:end][shown]
            yield rows, shaper.of_masks([mask for mask in masks if mask.count], self._sizes(rows))
            masks, begin, blocks = [], end, 0

    def _sizes(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """The measure of each row; NaN where there is none."""
        if self._measure not in rows:
            return np.full(len(rows), np.nan)
        sizes: NDArray[np.float64] = rows[self._measure].to_numpy(np.float64)
        return sizes


def _types(objects: pd.DataFrame, measure: str) -> dict[str, pa.DataType]:
    """Names and types of the attributes, the same for an empty result. The geometry stands for the bounding box."""
    known = {
        "id": pa.int64(),
        "category": pa.string(),
        "score": pa.float64(),
        "prompt": pa.string(),
        measure: pa.float64(),
        "tiles": pa.int32(),
        "touches_edge": pa.bool_(),
        "open_edge": pa.bool_(),
    }
    others = {name: _type(objects[name].dtype) for name in objects if name not in known and name != "bbox"}
    return known | others


def _type(dtype: Any) -> pa.DataType:
    kinds = {"b": pa.bool_(), "i": pa.int64(), "u": pa.int64(), "f": pa.float64()}
    return kinds.get(getattr(dtype, "kind", "O"), pa.string())
