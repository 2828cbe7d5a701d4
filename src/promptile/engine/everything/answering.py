"""From a tile to its answer on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from promptile.engine.embedder import Embedder
from promptile.engine.flatten import Keep, flatten
from promptile.engine.job import Job
from promptile.engine.propose import PointGrid
from promptile.grid import Tile
from promptile.models.protocols import Proposal, Proposer, View
from promptile.prompts.area import Area
from promptile.run.tiles import TileStore
from promptile.stitching import TileAnswer, TileObjects, summarise


@dataclass(frozen=True, eq=False)
class Seen:
    """A tile as the model sees it."""

    view: View
    wanted: NDArray[np.bool_]
    """Where objects may be: there is data, and the area of interest."""


@dataclass(frozen=True, eq=False)
class AnswerTiles:
    """Work: every tile is read, answered and kept. Tiles without data in the area of interest are not answered."""

    job: Job
    proposer: Proposer
    store: TileStore
    keep: Keep
    min_region: int
    area: Area | None

    def read(self, tile: Tile) -> Seen | None:
        inside = None if self.area is None else self.area.within(tile.outer, self.store.factors)
        if inside is not None and not inside.any():
            return None
        view = self.job.view(tile.outer, self.store.level)
        wanted = view.valid if inside is None else view.valid & inside
        return Seen(view, wanted) if wanted.any() else None

    def compute(self, tile: Tile, seen: Seen | None) -> TileAnswer | None:
        if seen is None:
            return None
        answer = flatten(seen.view.shape, self._proposals(tile, seen.view), self.keep, self.min_region)
        answer.labels[:, ~seen.wanted] = 0
        return answer

    def _proposals(self, tile: Tile, view: View) -> list[Proposal]:
        if self._points is None:
            return self.proposer.propose(view)
        points, embedder = self._points
        return points.propose(view, embedder.kept(tile.outer, self.store.level))

    @cached_property
    def _points(self) -> tuple[PointGrid, Embedder] | None:
        """A proposer that asks point by point, and what was embedded for it ahead; made where the work is done."""
        if not isinstance(self.proposer, PointGrid):
            return None
        return self.proposer, Embedder(self.job.source, self.job.rendering, self.proposer.model)

    def write(self, tile: Tile, answer: TileAnswer | None) -> None:
        nothing = np.zeros((self.store.layers, *tile.outer.shape), np.uint16)
        known = answer or TileAnswer(nothing, np.zeros(0, np.float32), np.zeros(0, np.int32))
        self.store.commit(tile, answer, summarise(known, tile, self.store.shape))


def objects_of(store: TileStore, done: set[tuple[int, ...]]) -> dict[Tile, TileObjects]:
    """What is known of the objects of all tiles that have an answer."""
    return {store.tiles[index]: store.objects(index) for index in sorted(done)}
