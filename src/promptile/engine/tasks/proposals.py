"""Proposals: all masks that a model can think of, ranked, as boxes and masks in a table.

The way of SAM's authors: a grid of 64 × 64 points, all answers, no filter but for repeated boxes, ranked by the mean of
the model's own guess of the IoU and the mask's stability, the best 1000.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promptile.engine.execute.protocol import Executor
from promptile.engine.job import Job
from promptile.engine.progress import Progress
from promptile.engine.propose import without_repeats
from promptile.engine.tasks.asked import Asked
from promptile.engine.tasks.scratch import Scratch
from promptile.engine.tasks.shades import Shade, check_shading, shades
from promptile.engine.tasks.tables import check_table, write_table
from promptile.engine.words import is_count
from promptile.errors import UsageError
from promptile.grid import Tile, Window, tiles
from promptile.models.protocols import View

_VERSION = 1
"""Of this code: it changes when proposals do."""
_OFFSET = 1.0
"""Logits: how much higher and lower a mask is cut to see whether it is stable."""


@dataclass(frozen=True, kw_only=True)
class Ranked(Asked):
    """What is asked of a search for proposals.

    Parameters
    ----------
    most : int
        Proposals of one tile at most.
    others
        See `Asked`.
    """

    points_per_side: int = 64
    box_nms_thresh: float = 0.9
    most: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_count(self.most):
            raise UsageError(f"most is {self.most}: it must be 1 or more")


def find_proposals(job: Job, asked: Ranked, out: Path, executor: Executor, progress: Progress) -> Path:
    """Write the proposals of an image as a table, the best first.

    Each tile gives those whose boxes have their centre in its core; where it does not show them whole, they are cut.
    What tiles have answered is kept beside `out` until that is written.
    """
    check_shading(job.model)
    check_table(out)
    said = [_VERSION, asked.points_per_side, asked.box_nms_thresh, asked.most]
    scratch = Scratch.beside(out, job.spec | {"proposals": said})
    places = list(tiles(job.source.grid.shape, job.size, job.overlap))
    scratch.answer(places, _Proposals(job, asked, scratch), executor, progress)
    tables = [pd.read_parquet(io.BytesIO(scratch.read(tile))) for tile in places]
    table = pd.concat(tables, ignore_index=True).sort_values("score", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    write_table(table, job.source.grid, out)
    scratch.remove()
    return out


@dataclass(frozen=True, eq=False)
class _Mask:
    """One mask of a view, until it is known to be kept."""

    window: Window
    bits: NDArray[np.uint8]
    iou: float
    stability: float

    @property
    def score(self) -> float:
        return (self.iou + self.stability) / 2


@dataclass(frozen=True, eq=False)
class _Proposals:
    """Work: the proposals of each tile."""

    job: Job
    asked: Ranked
    scratch: Scratch

    def read(self, tile: Tile) -> View:
        return self.job.view(tile.outer, 0)

    def compute(self, tile: Tile, view: View) -> pd.DataFrame:
        made = (_packed(shade, view.valid) for shade in shades(self.job.model, view, self.asked.points_per_side))
        masks = [mask for mask in made if mask is not None]
        scores = [mask.score for mask in masks]
        new = without_repeats([mask.window for mask in masks], scores, self.asked.box_nms_thresh)
        core = tile.core.within(tile.outer)
        mine = [masks[i] for i in new if _centre(masks[i].window) in core][: self.asked.most]
        return pd.DataFrame(list(_rows(mine, tile.outer)), columns=_COLUMNS)

    def write(self, tile: Tile, answer: pd.DataFrame) -> None:
        file = io.BytesIO()
        answer.to_parquet(file, index=False)
        self.scratch.write(tile, file.getvalue())


_COLUMNS = ["score", "iou", "stability", "area_px", "bbox", "rle"]


def _packed(shade: Shade, valid: NDArray[np.bool_]) -> _Mask | None:
    """What a table needs of a mask; None if it has no samples."""
    mask = (shade.logits > 0) & valid[shade.window.slices]
    if not mask.any():
        return None
    spans = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    box = Window.between([int(s[0]) for s in spans], [int(s[-1]) + 1 for s in spans])
    certain, possible = (int(np.count_nonzero(shade.logits > level)) for level in (_OFFSET, -_OFFSET))
    bits = np.packbits(mask[box.slices])
    return _Mask(box.shift(shade.window.start), bits, shade.score, certain / max(possible, 1))


def _centre(box: Window) -> Window:
    return Window(tuple((a + b) // 2 for a, b in zip(box.start, box.stop, strict=True)), (1, 1))


def _rows(masks: list[_Mask], outer: Window) -> Iterator[tuple[object, ...]]:
    for mask in masks:
        samples = np.unpackbits(mask.bits, count=mask.window.size).reshape(mask.window.shape)
        here = mask.window.shift(outer.start)
        yield mask.score, mask.iou, mask.stability, int(samples.sum()), [*here.start, *here.stop], runs_of(samples)


def runs_of(samples: NDArray[np.uint8]) -> list[int]:
    """Lengths of runs, column by column, the first of 0: COCO's uncompressed run-length encoding of the box."""
    flat = np.concatenate([[0], samples.T.ravel(), [1 - samples.T.ravel()[-1]]])
    ends = np.flatnonzero(np.diff(flat))
    lengths = np.diff(np.concatenate([[0], ends]))
    return [int(n) for n in lengths]
