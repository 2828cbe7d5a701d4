"""From a tile to what a detector sees in it, on disk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.search import Search
from promptile.engine.execute.protocol import Executor
from promptile.engine.progress import Progress, one_line
from promptile.errors import ModelError
from promptile.grid import Tile
from promptile.models.protocols import Detections, ModelCard, View
from promptile.run.detections import NOTHING, DetectionStore, TileDetections
from promptile.run.record import Failure

_TRIES = 2


@dataclass(frozen=True, eq=False)
class DetectTiles:
    """Work: every tile is read, shown to the detector, and what it says is kept.

    Tiles without data in the areas of interest are not shown.
    """

    search: Search
    store: DetectionStore

    def read(self, tile: Tile) -> View | None:
        inside = self.search.wanted(tile.outer, self.store.level)
        if inside is not None and not inside.any():
            return None
        view = self.search.view(tile.outer, self.store.level)
        return view if view.valid.any() else None

    def compute(self, _tile: Tile, view: View | None) -> Detections | None:
        if view is None:
            return None
        asked, card = self.search.asked, self.search.detector.card
        (found,) = self.search.detector.detect([view], list(asked.phrases), asked.deepest(card))
        _check(found, card, view.shape, len(asked.phrases))
        return found

    def write(self, tile: Tile, found: Detections | None) -> None:
        self.store.commit(tile, NOTHING if found is None else self._on_image(tile, found))

    def _on_image(self, tile: Tile, found: Detections) -> TileDetections:
        """Boxes in the plane, on edges of level 0; the last coarse sample may reach beyond the image."""
        flat = [axis for axis in range(len(tile.outer.shape)) if axis != self.search.axis]
        factors = np.take(self.store.factors, flat).astype(float)
        start, shape = np.take(tile.outer.start, flat), np.take(self.search.source.grid.shape, flat)
        inside = np.clip(found.boxes, -0.5, np.take(tile.outer.shape, flat) - 0.5)
        sound = (inside[:, 0] < inside[:, 1]).all(axis=1)
        boxes = np.minimum((inside[sound] + start + 0.5) * factors - 0.5, shape - 0.5)
        masks = None
        if found.masks is not None:
            masks = [_cut(mask, box) for mask, box in zip(found.masks[sound], inside[sound], strict=True)]
        return TileDetections(
            boxes, found.scores[sound].astype(float), found.phrases[sound].astype(np.int64), masks=masks
        )


def detect_tiles(store: DetectionStore, search: Search, executor: Executor, progress: Progress) -> list[Failure]:
    """Look at the tiles of a level that have no answer yet; those that failed twice."""
    done = store.done()
    waiting = [tile for index, tile in store.tiles.items() if index not in done]
    count = len(done)
    failed: list[tuple[Tile, Exception]] = []
    what = f"looking, level {store.level}"
    progress(what, count, len(store.tiles))
    for _ in range(_TRIES):
        failed = []
        for outcome in executor.run(DetectTiles(search, store), waiting):
            if outcome.error is None:
                count += 1
            else:
                failed.append((outcome.item, outcome.error))
            progress(what, count, len(store.tiles))
        waiting = [tile for tile, _ in failed]
    found = sorted(failed, key=lambda pair: pair[0].index)
    return [Failure("tile", (store.level, *tile.index), one_line(error)) for tile, error in found]


def _cut(mask: NDArray[np.bool_], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The part of a mask on the samples that a box covers."""
    low, high = np.floor(box[0] + 0.5).astype(int), np.ceil(box[1] + 0.5).astype(int)
    return mask[low[0] : high[0], low[1] : high[1]]


def _check(found: Detections, card: ModelCard, shape: tuple[int, ...], phrases: int) -> None:
    """Refuse an answer that is none."""
    n = len(found.scores)
    if found.boxes.shape != (n, 2, 2) or found.phrases.shape != (n,):
        raise ModelError(
            f"Detector {card.name!r} answered with boxes {found.boxes.shape} and phrases {found.phrases.shape} for "
            f"{n} scores: its detect must return boxes (n, 2, 2), scores (n,) and phrases (n,)"
        )
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise ModelError(f"Detector {card.name!r} answered with NaN: its detect must return numbers")
    if ((found.scores < 0) | (found.scores > 1)).any():
        raise ModelError(f"Detector {card.name!r} answered with scores beyond 0 to 1: its detect must return shares")
    if ((found.phrases < 0) | (found.phrases >= phrases)).any():
        raise ModelError(f"Detector {card.name!r} answered about a phrase that was not asked for")
    if found.masks is not None and found.masks.shape != (n, *shape):
        raise ModelError(f"Detector {card.name!r} answered with masks {found.masks.shape} for a view of {shape}")
