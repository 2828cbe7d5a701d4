"""From objects to one label image: the better score covers the worse, and equal scores the smaller id."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from promptile.grid import Window
from promptile.run import PromptedRun, Record


def paint(run: PromptedRun, records: Sequence[Record], within: Window | None = None) -> None:
    """Write the labels of a run from its objects' masks, one stored piece of the array at a time.

    What is painted depends on the records alone, not on the order in which objects were found.

    Parameters
    ----------
    run : PromptedRun
    records : sequence of Record
        All objects of the run.
    within : Window, optional
        Repaint only here, also where no object is left; without it, paint what the objects touch.
    """
    mask_of = lru_cache(maxsize=64)(run.mask)
    labels, limit = run.labels, run.grid.window if within is None else within.clip(run.grid.shape)
    touching: dict[Window, list[Record]] = defaultdict(list)
    if within is not None:
        touching.update({piece & limit: [] for piece in _pieces(limit, labels.chunks)})
    for record in records:
        box = Window.between(*record.bbox) & limit if record.count else limit.clip((0,) * limit.ndim)
        for piece in _pieces(box, labels.chunks) if not box.empty else ():
            touching[piece & limit].append(record)
    for piece, found in sorted(touching.items()):
        painted = np.zeros(piece.shape, np.uint32)
        for record in sorted(found, key=lambda r: (r.score, -r.id)):
            painted[mask_of(record.id).read(piece)] = record.id
        labels[piece.slices] = painted


def _pieces(window: Window, side: Sequence[int]) -> list[Window]:
    spans = [range(a // s, -(-b // s)) for a, b, s in zip(window.start, window.stop, side, strict=True)]
    return [
        Window(tuple(i * s for i, s in zip(index, side, strict=True)), tuple(side))
        for index in itertools.product(*spans)
    ]
