"""What a detector said about the tiles of one level, as a run keeps it.

::

    detections/asked.json     what was looked for, in what, and how
    detections/0/3,4.npz      what was found in a tile: a tile counts once its file is there
    detections/failed.json    the tiles that have no answer, and why

What is asked for at another threshold needs no detector, so the folder outlives `--restart` as long as the detector
would be asked the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.folders import Folder
from promptile.grid import Tile
from promptile.run.parts import DETECTIONS, damaged, read_json
from promptile.run.record import Failure
from promptile.run.tile_files import Index, TileFiles

_ASKED, _FAILED = f"{DETECTIONS}/asked.json", f"{DETECTIONS}/failed.json"


@dataclass(frozen=True, eq=False)
class TileDetections:
    """What was found in one tile.

    Parameters
    ----------
    boxes : ndarray of float, shape (n, 2, 2)
        Low and high corners in the plane, on sample edges of level 0.
    scores : ndarray of float, shape (n,)
    phrases : ndarray of int, shape (n,)
    looked : bool
        Whether there was anything to look at: data, in the area of interest.
    masks : sequence of ndarray of bool, optional
        One per box, over the samples of the tile's level that it covers.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    phrases: NDArray[np.int64]
    looked: bool = True
    masks: Sequence[NDArray[np.bool_]] | None = None


NOTHING = TileDetections(np.zeros((0, 2, 2)), np.zeros(0), np.zeros(0, np.int64), looked=False)


class DetectionStore(TileFiles):
    """The tiles of one level and what was found in them; see `TileFiles`."""

    @property
    def files(self) -> str:
        return f"{DETECTIONS}/{self.level}"

    def commit(self, tile: Tile, found: TileDetections) -> None:
        """Keep what was found in a tile. A second time leaves the same bytes."""
        columns: dict[str, Any] = {
            "boxes": found.boxes,
            "scores": found.scores,
            "phrases": found.phrases,
            "looked": np.array(found.looked),
        }
        if found.masks is not None:
            columns["mask_shapes"] = np.array([mask.shape for mask in found.masks], np.int64).reshape(-1, 2)
            samples = [mask.ravel() for mask in found.masks]
            columns["mask_bits"] = np.packbits(np.concatenate(samples) if samples else np.zeros(0, bool))
        self._keep(tile.index, columns)

    def read(self, index: Index) -> TileDetections:
        """What was found in a tile."""
        with self._kept(index) as stored:
            masks = [*_masks(stored["mask_shapes"], stored["mask_bits"])] if "mask_bits" in stored else None
            return TileDetections(stored["boxes"], stored["scores"], stored["phrases"], bool(stored["looked"]), masks)


def _masks(shapes: NDArray[np.int64], bits: NDArray[np.uint8]) -> Iterator[NDArray[np.bool_]]:
    begin = 0
    samples = np.unpackbits(bits)
    for rows, columns in shapes.tolist():
        yield samples[begin : begin + rows * columns].reshape(rows, columns).astype(bool)
        begin += rows * columns


def claim(folder: Folder, asked: Mapping[str, Any]) -> None:
    """Make the folder's detections those of `asked`; what is there is kept if it answers just that, deep enough.

    `asked` is JSON-able; its ``floor`` may be above that of what is there.
    """
    wanted = json.loads(json.dumps(asked))
    there = asked_in(folder)
    if there is not None and there["floor"] <= wanted["floor"] and there | {"floor": wanted["floor"]} == wanted:
        return
    folder.remove(DETECTIONS)
    folder.write(_ASKED, json.dumps(wanted).encode())


def asked_in(folder: Folder) -> dict[str, Any] | None:
    """What the detections of a folder answer; None if there are none."""
    if not folder.exists(_ASKED):
        return None
    asked: dict[str, Any] = read_json(folder, _ASKED)
    return asked


def keep_failed(folder: Folder, failed: Sequence[Failure]) -> None:
    """Write down which tiles have no answer."""
    if failed:
        folder.write(_FAILED, json.dumps([failure.to_json() for failure in failed]).encode())
    else:
        folder.remove(_FAILED)


def failed_in(folder: Folder) -> list[Failure]:
    """The tiles without an answer."""
    if not folder.exists(_FAILED):
        return []
    try:
        return [Failure("tile", tuple(entry["id"]), entry["error"]) for entry in read_json(folder, _FAILED)]
    except (TypeError, LookupError) as error:
        raise damaged(folder, _FAILED) from error
