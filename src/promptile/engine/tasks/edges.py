"""Edges: where the outlines of the masks of everything are, from 0 to 1, one sample wide.

The way of SAM's authors: a grid of 16 × 16 points, all answers, no filter but for repeated boxes; a Sobel filter on
each mask's certainty, kept along its outline; the strongest of all masks; thinned.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from promptile.engine.execute.protocol import Executor
from promptile.engine.job import Job
from promptile.engine.progress import Progress
from promptile.engine.propose import without_repeats
from promptile.engine.tasks.asked import Asked
from promptile.engine.tasks.outlines import MARGIN, outline_of, strongest, thinned
from promptile.engine.tasks.scratch import Scratch
from promptile.engine.tasks.shades import check_shading, shades
from promptile.grid import Tile, Window, tiles
from promptile.models.protocols import View
from promptile.writers import values

_VERSION = 1
"""Of this code: it changes when edges do."""
_HELD = 16
"""Answers of tiles that are held in memory."""


@dataclass(frozen=True, kw_only=True)
class Edges(Asked):
    """What is asked of a search for edges; see `Asked`."""

    points_per_side: int = 16
    box_nms_thresh: float = 0.7


def find_edges(job: Job, asked: Edges, out: Path, executor: Executor, progress: Progress) -> Path:
    """Write the edges of an image as a float32 GeoTIFF: 1 is the strongest of all, 0 is no edge.

    Each tile owns its core. What tiles have answered is kept beside `out` until that is written.
    """
    check_shading(job.model)
    spec = job.spec | {"edges": [_VERSION, asked.points_per_side, asked.box_nms_thresh]}
    scratch = Scratch.beside(out, spec)
    places = list(tiles(job.source.grid.shape, job.size, job.overlap))
    scratch.answer(places, _Strengths(job, asked, scratch), executor, progress)
    thin = _Thin(scratch, places, job.source.grid.shape)
    origin = {"image": spec["image"], "model": spec["model"], "promptile": spec["promptile"]}
    values.write(thin.blocks(progress), job.source.grid, out, origin)
    scratch.remove()
    return out


@dataclass(frozen=True, eq=False)
class _Strengths:
    """Work: the strength of edges in each tile's core."""

    job: Job
    asked: Edges
    scratch: Scratch

    def read(self, tile: Tile) -> View:
        return self.job.view(tile.outer, 0)

    def compute(self, tile: Tile, view: View) -> NDArray[np.float32]:
        made = (outline_of(shade, view.valid) for shade in shades(self.job.model, view, self.asked.points_per_side))
        outlines = [outline for outline in made if outline is not None]
        windows, scores = [o.window for o in outlines], [o.score for o in outlines]
        new = without_repeats(windows, scores, self.asked.box_nms_thresh)
        strength = strongest((outlines[i] for i in new), view.shape)
        return strength[tile.core.within(tile.outer).slices]

    def write(self, tile: Tile, answer: NDArray[np.float32]) -> None:
        file = io.BytesIO()
        np.savez_compressed(file, strength=answer)
        self.scratch.write(tile, file.getvalue())


class _Thin:
    """Thin edges of the whole image, made block by block from the strengths around each."""

    def __init__(self, scratch: Scratch, places: Sequence[Tile], shape: Sequence[int]) -> None:
        self._scratch, self._places, self._shape = scratch, places, tuple(shape)
        self._starts = np.array([tile.core.start for tile in places])
        self._stops = np.array([tile.core.stop for tile in places])
        self._read = lru_cache(maxsize=_HELD)(self._strength)

    def blocks(self, progress: Progress) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        """Windows that partition the image, and the edges there."""
        highest = max((float(self._read(n).max(initial=0)) for n in range(len(self._places))), default=0.0)
        blocks = list(tiles(self._shape, values.BLOCK, 0))
        for count, block in enumerate(blocks):
            progress("edges", count, len(blocks))
            wide = block.core.grow(MARGIN).clip(self._shape)
            strength = np.zeros(wide.shape, np.float32)
            for n in np.flatnonzero(((self._starts < wide.stop) & (self._stops > wide.start)).all(axis=1)).tolist():
                core = self._places[n].core
                shared = core & wide
                strength[shared.within(wide).slices] = self._read(n)[shared.within(core).slices]
            thin = thinned(strength)[block.core.within(wide).slices]
            yield block.core, thin / np.float32(highest or 1)
        progress("edges", len(blocks), len(blocks))

    def _strength(self, n: int) -> NDArray[np.float32]:
        with np.load(io.BytesIO(self._scratch.read(self._places[n]))) as file:
            return np.asarray(file["strength"], np.float32)
