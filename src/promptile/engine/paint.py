"""From objects to one label image: the better score covers the worse, and equal scores the smaller id."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from promptile.grid import Window
from promptile.run import PromptedRun, Record


def paint(run: PromptedRun, records: Sequence[Record], within: Sequence[Window] | None = None) -> None:
    """Write the labels of a run from its objects' masks, each stored piece of the array at most once.

    What is painted depends on the records alone, not on the order in which objects were found.

    Parameters
    ----------
    run : PromptedRun
    records : sequence of Record
        All objects of the run.
    within : sequence of Window, optional
        Repaint only here, also where no object is left; without it, paint what the objects touch.
    """
    mask_of = lru_cache(maxsize=64)(run.mask)
    there, side = [record for record in records if record.count], run.labels.chunks
    if within is None:
        touching = _touched(there, side, run.grid.window)
    else:
        touching = _touching(there, _joined([w.clip(run.grid.shape) for w in within], side))
    for piece, found in sorted(touching.items()):
        painted = np.zeros(piece.shape, np.uint32)
        for record in sorted(found, key=lambda r: (r.score, -r.id)):
            painted[mask_of(record.id).read(piece)] = record.id
        run.write_labels(piece, painted)


def _touched(records: Sequence[Record], side: Sequence[int], whole: Window) -> Mapping[Window, list[Record]]:
    """Stored pieces that objects touch, and which ones."""
    touching: dict[Window, list[Record]] = defaultdict(list)
    for record in records:
        for piece in _pieces(Window.between(*record.bbox), side):
            touching[piece & whole].append(record)
    return touching


def _touching(records: Sequence[Record], windows: Sequence[Window]) -> Mapping[Window, list[Record]]:
    """Windows, and the objects that may reach into them."""
    if not records:
        return {window: [] for window in windows}
    numbers = itertools.chain.from_iterable(corner for record in records for corner in record.bbox)
    boxes = np.fromiter(numbers, int).reshape(len(records), 2, -1)
    low, high = boxes[:, 0], boxes[:, 1]
    near = {window: ((low < window.stop) & (high > window.start)).all(axis=1) for window in windows}
    return {window: [records[i] for i in np.flatnonzero(inside).tolist()] for window, inside in near.items()}


def _joined(windows: Sequence[Window], side: Sequence[int]) -> list[Window]:
    """Windows cut along the stored pieces, and joined where they lie in the same one."""
    joined: dict[Window, Window] = {}
    for window in windows:
        for piece in _pieces(window, side):
            part = piece & window
            joined[piece] = joined[piece] | part if piece in joined else part
    return list(joined.values())


def _pieces(window: Window, side: Sequence[int]) -> Iterator[Window]:
    spans = [range(a // s, -(-b // s)) for a, b, s in zip(window.start, window.stop, side, strict=True)]
    for index in itertools.product(*spans):
        yield Window(tuple(i * s for i, s in zip(index, side, strict=True)), tuple(side))
