"""A Labels layer as a result: what napari holds, behind the protocol that all writers take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from promptile.errors import OutputError
from promptile.grid import Grid, Window, tiles
from promptile.masks import ObjectMask, blocks_of
from promptile.measures import label_measures, measure_name
from promptile.prompts.types import LARGEST_ID

_SIDE = {2: 2048, 3: 256}
"""Side of the windows in which labels are looked through, by number of axes: whole stored pieces, up to 64 MB."""

_DENSE = 2**24
"""Outlines of ids up to this one are traced all at once, in memory that follows the largest; others one by one."""

_KNOWN = ("category", "score", "prompt")


class LayerResult:
    """The labels of a layer and what its features say of them. Implements `promptile.writers.Result`.

    Labels are read by window, twice: once to see where each object is and how large, once to write them. Only the
    table of objects is held.

    Parameters
    ----------
    labels : array-like
        ``shape`` of the grid, of integers; 0 is background. Where there are axes before those of the grid, like one
        of channels, the last id along them that is not 0 is taken.
    grid : Grid
    features : DataFrame
        The layer's: a row belongs to the label in the column ``index``, without it to the label of the row's number.
    origin : mapping
        Where the labels come from.
    image : mapping
        What `promptile.open` takes to open their image; empty if nobody knows.
    """

    def __init__(
        self, labels: Any, grid: Grid, features: pd.DataFrame, origin: Mapping[str, Any], image: Mapping[str, Any]
    ) -> None:
        if labels.dtype.kind not in "biu":
            raise OutputError(f"Labels are whole numbers, these are {labels.dtype}: convert the layer to labels")
        self.grid = grid
        self.origin = origin
        self.image = image
        self._labels = labels
        self._features = features

    @property
    def layers(self) -> int:
        ids = self.objects["id"]
        return 1 if len(ids) == 0 or int(ids.iat[-1]) <= _DENSE else 0

    def read_labels(self, window: Window, layer: int = 0) -> NDArray[np.uint32]:
        before = self._labels.shape[: -self.grid.ndim]
        found = np.zeros(window.shape, np.uint32)
        for position in np.ndindex(before):
            here = np.asarray(self._labels[(*position, *window.slices)])
            if here.dtype.kind == "i" or here.dtype.itemsize > 4:
                _check(here)
            np.copyto(found, here.astype(np.uint32, copy=False), where=here != 0)
        return found

    def mask(self, object_id: int) -> ObjectMask:
        ids = self.objects["id"]
        row = int(np.searchsorted(ids, object_id))
        if row == len(ids) or ids.iat[row] != object_id:
            raise OutputError(f"There is no label {object_id}: choose one of the layer's labels")
        low, high = np.reshape(self.objects["bbox"].iat[row], (2, -1)).tolist()

        def parts() -> Iterator[tuple[Window, NDArray[np.bool_]]]:
            for block in blocks_of(Window.between(low, high)):
                yield block, self.read_labels(block.clip(self.grid.shape)) == object_id

        return ObjectMask.collect(self.grid.shape, parts())

    @cached_property
    def objects(self) -> pd.DataFrame:
        """One row per label that is there, sorted by id, with what the features say of it."""
        ids, measures, boxes = self._found()
        said = self._said(ids)
        columns = {
            "id": ids,
            **{name: said.pop(name) for name in _KNOWN},
            measure_name(self.grid): measures,
            **said,
            "touches_edge": (boxes[:, 0] == 0).any(axis=1) | (boxes[:, 1] == self.grid.shape).any(axis=1),
        }
        frame = pd.DataFrame(columns)
        frame["bbox"] = list(boxes.reshape(len(ids), 2 * self.grid.ndim))
        return frame

    def _said(self, ids: NDArray[np.int64]) -> dict[str, Any]:
        """Columns of the features, one value per id; what is computed from the labels is left out."""
        rows = self._features
        rows = rows if "index" in rows else rows.assign(index=range(len(rows)))
        rows = rows.drop_duplicates("index", keep="last").set_index("index")
        rows = rows.drop(columns=[c for c in ("id", "bbox", "touches_edge", measure_name(self.grid)) if c in rows])
        rows = rows.reindex(ids).reset_index(drop=True)
        known = {
            "category": _texts(rows.get("category", pd.Series("", rows.index))).fillna(""),
            "score": pd.to_numeric(rows.get("score", pd.Series(np.nan, rows.index)), errors="coerce"),
            "prompt": _texts(rows.get("prompt", pd.Series("", rows.index))).fillna(""),
        }
        others = {str(name): rows[name] for name in rows if name not in known}
        return {**known, **{name: c if c.dtype.kind in "biuf" else _texts(c) for name, c in others.items()}}

    def _found(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Ids ``(n,)``, measures ``(n,)`` and bounding boxes ``(n, 2, ndim)`` of the labels, added up over windows."""
        ndim = self.grid.ndim
        seen = [self._seen(tile.core) for tile in tiles(self.grid.shape, _SIDE[ndim], 0)]
        parts, measures, boxes = (np.concatenate(column) for column in zip(*seen, strict=True))
        ids, rows = np.unique(parts, return_inverse=True)
        whole = np.zeros((len(ids), 2, ndim), np.int64)
        whole[:, 0] = self.grid.shape
        np.minimum.at(whole[:, 0], rows, boxes[:, 0])
        np.maximum.at(whole[:, 1], rows, boxes[:, 1])
        return ids, np.bincount(rows, measures, len(ids)).astype(float), whole

    def _seen(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """What one window has of each label: the same as `_found`."""
        labels = self.read_labels(window)
        ids, dense = _dense(labels)
        measures: NDArray[np.float64] = label_measures(dense, window, self.grid, np.arange(1, len(ids) + 1))
        spans = [[(s.start, s.stop) for s in cut] for cut in find_objects(dense.astype(np.int32))]
        boxes = np.array(spans, np.int64).reshape(len(ids), self.grid.ndim, 2).swapaxes(1, 2)
        return ids, measures, boxes + np.array(window.start)


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Values as text, whatever they are; missing ones stay missing."""
    return column.astype(object).map(str, na_action="ignore")


def _dense(labels: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """The ids ``(n,)`` in labels, ascending, and the labels with ids 1 to n in their place."""
    largest = int(labels.max())
    if not largest:
        return np.zeros(0, np.int64), labels
    if largest > _DENSE:
        found, dense = np.unique(labels, return_inverse=True)
        numbers = dense.reshape(labels.shape) + (found[0] > 0)
        return found[found > 0].astype(np.int64), numbers.astype(np.uint32)
    present = np.zeros(largest + 1, bool)
    present[labels] = True
    present[0] = False
    numbers = np.cumsum(present) * present
    return np.flatnonzero(present), numbers.astype(np.uint32)[labels]


def _check(labels: NDArray[Any]) -> None:
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > LARGEST_ID:
        wrong = low if low < 0 else high
        raise OutputError(f"Label {wrong} cannot be written: ids are whole numbers from 1 to {LARGEST_ID}, renumber it")
