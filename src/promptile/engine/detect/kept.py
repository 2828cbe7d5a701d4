"""What a run keeps of a detector's answers, as findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from promptile.engine.detect.findings import Findings, Looks
from promptile.engine.detect.linking import Slicing
from promptile.errors import RunError
from promptile.grid import rescale
from promptile.run import PromptedRun
from promptile.run.detections import DetectionStore, asked_in


def findings_of(run: PromptedRun) -> Findings:
    """All that a detector said in a run that was asked for by text.

    Raises
    ------
    RunError
        If no detector was asked in it.
    """
    asked = asked_in(run.folder)
    if asked is None or "text" not in run.spec:
        raise RunError(f"{run.name} was not asked for by text: use promptile segment --text")
    tiling = asked["tiling"]
    stores = [
        DetectionStore(
            run.folder,
            level,
            tuple(factors),
            run.grid.coarsen(factors).shape,
            tuple(tiling["size"]),
            tuple(tiling["overlap"]),
        )
        for level, factors in asked["levels"]
    ]
    return _read(stores, asked, run)


def _read(stores: Sequence[DetectionStore], asked: dict[str, Any], run: PromptedRun) -> Findings:
    """The answers of all tiles as one table."""
    flat = [axis for axis in range(run.grid.ndim) if axis != asked["axis"]]
    looks: list[tuple[Any, ...]] = []
    columns: list[tuple[Any, ...]] = [(np.zeros((0, 2, 2)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for store in stores:
        shape, factors = np.take(store.shape, flat), np.take(store.factors, flat)
        for index in sorted(store.done()):
            told = store.read(index)
            if not told.looked:
                continue
            outer = store.tiles[index].outer
            start, stop = np.take(outer.start, flat), np.take(outer.stop, flat)
            frame = rescale(np.stack([start, stop]) - 0.5, [1 / factor for factor in factors])
            frame = np.minimum(frame, np.take(run.grid.shape, flat) - 0.5)
            plane = 0 if asked["axis"] is None else outer.start[asked["axis"]]
            columns.append((told.boxes, told.scores, told.phrases, np.full(len(told.scores), len(looks))))
            looks.append((store.level, plane, frame, np.stack([start > 0, stop < shape]), factors))
    levels, planes, frames, inner, samples = zip(*looks, strict=True) if looks else ((),) * 5
    boxes, scores, labels, views = map(np.concatenate, zip(*columns, strict=True))
    return Findings(
        phrases=tuple(asked["phrases"]),
        default=max(run.spec["text"]["box_threshold"], run.spec["text"]["text_threshold"]),
        floor=float(asked["floor"]),
        looks=Looks(
            np.array(levels, np.int64),
            np.array(planes, np.int64),
            np.array(frames, float).reshape(-1, 2, 2),
            np.array(inner, bool).reshape(-1, 2, 2),
            np.array(samples, float).reshape(-1, 2),
        ),
        views=views.astype(np.int64),
        boxes=boxes,
        scores=scores,
        labels=labels.astype(np.int64),
        slicing=None if asked["axis"] is None else Slicing(asked["axis"], run.grid.spacing[asked["axis"]]),
    )
