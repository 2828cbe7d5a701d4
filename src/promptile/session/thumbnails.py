"""Small pictures of a model's answers, to choose one by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.engine.grow import Candidates
from promptile.engine.job import Job
from promptile.grid import Window

SIDE = 72
"""Pixels along the longer side."""

_NAMES: dict[int, tuple[str, ...]] = {1: ("object",), 2: ("part", "whole"), 3: ("part", "whole", "larger")}
_MARGIN = 1 / 8
_TINT = np.array([46, 204, 64], float)
_SHADE = 0.55


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One answer.

    Parameters
    ----------
    candidate : int
        What to give to `Session.choose`.
    name : str
        ``part``, ``whole``, ``larger``, by size.
    score : float
        The model's own guess of its quality.
    taken : bool
        Whether the preview grew from it.
    picture : ndarray of uint8, shape (y, x, 3)
    """

    candidate: int
    name: str
    score: float
    taken: bool
    picture: NDArray[np.uint8]


def thumbnails(job: Job, candidates: Candidates, side: int = SIDE) -> list[Thumbnail]:
    """All answers, the smallest first, each drawn on the image; of a volume the slice that shows most of them."""
    masks = candidates.masks.logits > 0
    axis, seen = _plane(masks, candidates.window)
    flat = masks
    if axis is not None:
        flat = np.take(masks, seen.start[axis] - candidates.window.start[axis], axis=1 + axis)
    across = [a for a in range(seen.ndim) if a != axis]
    frame = _frame(np.logical_or.reduce(flat), [seen.shape[a] for a in across])
    start, shape = list(seen.start), list(seen.shape)
    for a, first, length in zip(across, frame.start, frame.shape, strict=True):
        start[a], shape[a] = seen.start[a] + first, length
    window = Window(tuple(start), tuple(shape))
    step = max(-(-max(frame.shape) // side), 1)
    ground = _ground(job, window, candidates.level, frame.shape, step)
    names = _NAMES.get(len(masks), tuple(f"size {n + 1}" for n in range(len(masks))))
    shown = []
    for name, i in zip(names, candidates.by_size, strict=True):
        picture = _tinted(ground, flat[i][frame.slices][::step, ::step])
        shown.append(Thumbnail(i, name, float(candidates.masks.scores[i]), i == candidates.taken, picture))
    return shown


def _plane(masks: NDArray[np.bool_], window: Window) -> tuple[int | None, Window]:
    """The axis of slices, and the part of the window in the one that shows most of the masks; no axis in images.

    Windows of one sample are slices themselves.
    """
    if window.ndim == 2:
        return None, window
    axis = window.shape.index(1) if 1 in window.shape else 0
    others = tuple(1 + a for a in range(3) if a != axis)
    best = window.start[axis] + int(np.argmax(masks.sum(axis=(0, *others))))
    start, shape = list(window.start), list(window.shape)
    start[axis], shape[axis] = best, 1
    return axis, Window(tuple(start), tuple(shape))


def _frame(mask: NDArray[np.bool_], shape: Sequence[int]) -> Window:
    """A square around the mask, as far as the window goes."""
    if not mask.any():
        return Window.of(shape)
    low, high = [], []
    spans = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    reach = max(int(span[-1] - span[0]) + 1 for span in spans)
    for span in spans:
        middle = (int(span[0]) + int(span[-1]) + 1) // 2
        half = int(reach * (0.5 + _MARGIN)) + 2
        low.append(middle - half)
        high.append(middle + half)
    return Window.between(low, high).clip(shape)


def _ground(job: Job, window: Window, level: int, shape: Sequence[int], step: int) -> NDArray[np.float64]:
    """``(y, x, 3)``: every `step`-th sample of a window of `shape`, without the slices' axis, as people see it."""
    rendering = job.rendering.in_colour()
    samples = job.source.read(window, level, rendering.channels)
    valid = job.source.valid(window, level)
    samples, valid = (of.reshape(*of.shape[: -window.ndim], *shape)[..., ::step, ::step] for of in (samples, valid))
    colours = rendering.apply(samples, valid).clip(0, 1)
    return 255 * np.moveaxis(colours, 0, -1).astype(float)


def _tinted(ground: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The object in colour, the rest darker."""
    tinted = np.where(mask[..., None], 0.6 * ground + 0.4 * _TINT, _SHADE * ground)
    return np.ascontiguousarray(tinted.round().astype(np.uint8))
