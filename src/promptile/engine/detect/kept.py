"""What a run keeps of a detector's answers, as findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.findings import Findings, Looks
from promptile.engine.detect.linking import Slicing
from promptile.errors import RunError
from promptile.grid import Window, rescale
from promptile.prompts.regions import Raster
from promptile.run import PromptedRun
from promptile.run.detections import DetectionStore, asked_in

_LARGEST_MASK = 2**24
"""Samples of level 0; of what is larger, a model is told the box alone."""

_ROUNDING = 1e-3
"""What arithmetic with levels may shift an edge by, in samples."""


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
    return _read(stores_of(run, asked), asked, run)


def stores_of(run: PromptedRun, asked: Mapping[str, Any]) -> list[DetectionStore]:
    """Where the answers to `asked` are, the finest level first."""
    size, overlap = (tuple(asked["tiling"][name]) for name in ("size", "overlap"))
    return [
        DetectionStore(run.folder, level, tuple(factors), run.grid.coarsen(factors).shape, size, overlap)
        for level, factors in asked["levels"]
    ]


def _read(stores: Sequence[DetectionStore], asked: Mapping[str, Any], run: PromptedRun) -> Findings:
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


def masks_of(run: PromptedRun, findings: Findings, rows: Sequence[int]) -> dict[int, Raster]:
    """What the detector drew of some of the boxes, by the box's row, at full resolution.

    Only of images, and of nothing larger than `_LARGEST_MASK`.
    """
    asked = asked_in(run.folder)
    if asked is None or findings.slicing is not None:
        return {}
    wanted = set(rows)
    found: dict[int, Raster] = {}
    first = 0
    for store in stores_of(run, asked):
        for index in sorted(store.done()):
            told = store.read(index)
            if told.looked and told.masks is not None:
                for n in wanted & set(range(first, first + len(told.scores))):
                    mask = _at_level_0(told.masks[n - first], told.boxes[n - first], store.factors, run.grid.shape)
                    found |= {} if mask is None else {n: mask}
            first += len(told.scores) if told.looked else 0
    return found


def _at_level_0(
    mask: NDArray[np.bool_], box: NDArray[np.float64], factors: Sequence[int], shape: Sequence[int]
) -> Raster | None:
    """A mask over the samples of a level that a box covers, as samples of level 0; None if there is nothing in it."""
    start = np.floor((box[0] + 0.5) / factors + _ROUNDING).astype(int) * factors
    if not mask.any() or mask.size * np.prod(factors) > _LARGEST_MASK:
        return None
    fine = mask.repeat(factors[0], axis=0).repeat(factors[1], axis=1)
    window = Window(tuple(start.tolist()), fine.shape)
    inside = window.clip(shape)
    return Raster(inside, fine[inside.within(window).slices])
