"""Perfect detectors: shown where they look, they see the boxes of the truth there; and ones that err or fail."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import LPS, PIXELS, Grid
from promptile.models.protocols import Detections, Embedding, Masks, ModelCard, Thresholds, View, WindowPrompt
from promptile.sources.arrays import ArraySource


def scene_of(truth: NDArray[np.integer], spacing: Sequence[float] = ()) -> ArraySource:
    """An image that shows the truth, and where each sample is: ``(1 + ndim, *truth.shape)``."""
    channels = np.stack([truth, *np.indices(truth.shape)]).astype(np.int32)
    affine = np.diag([*spacing, 1.0])[[*range(truth.ndim)[::-1], truth.ndim]] if len(spacing) else None
    grid = Grid.of(truth.shape, affine, LPS if len(spacing) else PIXELS)
    return ArraySource(channels, grid, channel_axis=0, resampling="nearest")


def boxes_of(truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """``(n, 2, ndim)``: the bounds of the objects 1 to n, on sample edges."""
    found = ndimage.find_objects(truth)
    return np.array([[[s.start - 0.5 for s in box], [s.stop - 0.5 for s in box]] for box in found if box is not None])


class Truth:
    """Sees the boxes of the truth that lie in a view, cut at its border.

    Parameters
    ----------
    boxes : ndarray of float, shape (n, 2, 2)
    phrases : sequence of str
        What each of them is.
    scores : ndarray of float, shape (n,), optional
    window : tuple of int
    least : float
        What is smaller than so many samples of a view is not seen.
    spacing : float
        Of the image.
    """

    def __init__(
        self,
        boxes: NDArray[np.float64],
        phrases: Sequence[str],
        scores: NDArray[np.float64] | None = None,
        window: tuple[int, ...] = (),
        least: float = 0,
        spacing: float = 1,
    ) -> None:
        self.boxes, self.phrases, self.least, self.spacing = boxes, [*phrases], least, spacing
        self.scores = np.ones(len(boxes)) if scores is None else scores
        self.looked = 0
        self.card = ModelCard(
            name="truth",
            family="test",
            abilities=frozenset({"text"}),
            ndim=2,
            input="raw",
            window=window,
            thresholds=Thresholds(0.3, 0.25),
            digest=f"truth-{least}",
        )

    def detect(self, views: Sequence[View], phrases: Sequence[str], thresholds: Thresholds) -> list[Detections]:
        self.looked += len(views)
        return [self.seen(view, phrases, thresholds.box) for view in views]

    def seen(self, view: View, phrases: Sequence[str], least: float) -> Detections:
        frame, factor = place(view, self.spacing)
        boxes, scores, labels = self.shown(view)
        low, high = np.maximum(boxes[:, 0], frame[0]), np.minimum(boxes[:, 1], frame[1])
        known = np.array([label in phrases for label in labels], bool)
        seen = (high - low > np.maximum(0, self.least * factor)).all(axis=1) & known & (scores >= least)
        cut = np.stack([low, high], axis=1)[seen]
        return Detections(
            (cut - frame[0]) / factor - 0.5,
            scores[seen],
            np.array([phrases.index(labels[n]) for n in np.flatnonzero(seen)], np.int64),
        )

    def shown(self, view: View) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
        """Boxes, scores and phrases as this view has them."""
        return self.boxes, self.scores, self.phrases


class Erring(Truth):
    """Sees the truth with errors.

    Parameters
    ----------
    truth : Truth
    missed : float
        Part of the objects that no view shows.
    overlooked : float
        Part of the objects that each view overlooks, another one in each.
    false : ndarray of float, shape (n, 2, 2), optional
        What is seen although it is not there.
    jitter : float
        How far a side is off, as a part of the box's side; a standard deviation, different in each view.
    """

    def __init__(
        self,
        truth: Truth,
        *,
        missed: float = 0,
        overlooked: float = 0,
        false: NDArray[np.float64] | None = None,
        jitter: float = 0,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.missed = rng.permutation(len(truth.boxes)) < round(missed * len(truth.boxes))
        more = np.zeros((0, 2, 2)) if false is None else false
        boxes = np.concatenate([truth.boxes[~self.missed], more])
        phrases = [p for p, gone in zip(truth.phrases, self.missed, strict=True) if not gone]
        phrases += [truth.phrases[0]] * len(more)
        super().__init__(boxes, phrases, window=truth.card.window, least=truth.least)
        self.overlooked, self.jitter, self.seed = overlooked, jitter, seed

    def shown(self, view: View) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
        rng = np.random.default_rng([self.seed, zlib.crc32(np.ascontiguousarray(view.samples))])
        sides = self.boxes[:, 1] - self.boxes[:, 0]
        boxes = self.boxes + rng.normal(0, self.jitter, self.boxes.shape) * sides[:, None]
        there = np.flatnonzero(rng.random(len(boxes)) >= self.overlooked)
        return np.sort(boxes, axis=1)[there], self.scores[there], [self.phrases[n] for n in there]


class Failing:
    """A detector that fails some times for each view that shows one of some values.

    Failures are counted in a folder: copies in other processes count together.
    """

    def __init__(self, detector: Truth, folder: Path, values: Sequence[int], times: int = 1) -> None:
        self.detector, self.folder, self.values, self.times = detector, folder, list(values), times
        self.card = detector.card

    def detect(self, views: Sequence[View], phrases: Sequence[str], thresholds: Thresholds) -> list[Detections]:
        for view in views:
            if np.isin(view.samples[0], self.values).any():
                counted = self.folder / f"{zlib.crc32(np.ascontiguousarray(view.samples)):08x}"
                failures = counted.stat().st_size if counted.exists() else 0
                if failures < self.times:
                    with counted.open("ab") as file:
                        file.write(b".")
                    raise RuntimeError(f"failed on purpose, {failures + 1} of {self.times} times")
        return self.detector.detect(views, phrases, thresholds)


def place(view: View, spacing: float = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a view of `scene_of` lies, on sample edges of level 0, and its factors; of a volume, in its plane."""
    axes = range(len(view.samples) - 2, len(view.samples))
    factor = np.array(view.spacing) / spacing
    shown = np.array([view.samples[axis].flat[0] for axis in axes])
    low = shown // factor * factor - 0.5  # any of the samples that a coarse one covers may stand for it
    return np.stack([low, low + factor * view.shape]), factor


class Perfect:
    """Draws the object whose truth box fits a prompt's box best, at any level."""

    def __init__(
        self, truth: NDArray[np.integer], window: tuple[int, ...] = (), spacing: Sequence[float] = (1,)
    ) -> None:
        self.boxes, self.spacing = boxes_of(truth), np.array(spacing)
        self.card = ModelCard(
            name="perfect",
            family="test",
            abilities=frozenset({"points", "box", "mask"}),
            ndim=truth.ndim,
            input="raw",
            window=window,
            digest="perfect",
        )

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        return [Embedding(view, self.card.digest, view.samples.nbytes) for view in views]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        view: View = embedding.content
        label = self._asked(view, prompt)
        mask = (view.samples[0] == label) & (label > 0)
        return Masks(np.where(mask, np.float32(6), np.float32(-6))[None], np.array([0.9]))

    def _asked(self, view: View, prompt: WindowPrompt) -> int:
        if prompt.box is None:
            place = tuple(np.rint(prompt.points[prompt.labels][0]).astype(int))
            return int(view.samples[0][place])
        factor = np.array(view.spacing) / self.spacing
        start = np.array([channel.flat[0] for channel in view.samples[1:]]) // factor * factor - 0.5
        box = (prompt.box + 0.5) * factor + start
        low, high = np.maximum(self.boxes[:, 0], box[0]), np.minimum(self.boxes[:, 1], box[1])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = (self.boxes[:, 1] - self.boxes[:, 0]).prod(axis=1) + (box[1] - box[0]).prod() - shared
        return int(np.argmax(shared / union)) + 1
