"""FastSAM's own rules of which instances a prompt means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.models.fastsam.instances import Instance, Seen
from promptile.models.protocols import Masks, Ranker, WindowPrompt

_NOWHERE = np.float32(-8)
"""Logit where no instance is."""
_SMALLEST = 100
"""Samples: smaller instances are not ranked by text."""


def select(seen: Seen, prompt: WindowPrompt) -> Masks:
    """The one mask that a prompt means; empty, with score 0, if it hits no instance.

    A box means the instance with which it has the best IoU. Points come to that: see `_add_points`. The score is the
    best confidence of the instances that were taken.
    """
    canvas = _Canvas(seen, np.full(seen.shape, _NOWHERE))
    if prompt.box is not None and (best := in_box(seen.instances, prompt.box, seen.shape)) is not None:
        canvas.add(best)
    if len(prompt.points):
        _add_points(canvas, prompt.points, prompt.labels)
    score = max(canvas.scores, default=0.0) if (canvas.logits > 0).any() else 0.0
    return Masks(canvas.logits[None], np.array([score]))


@dataclass(eq=False)
class _Canvas:
    """A mask to which instances are added, and from which they are taken."""

    seen: Seen
    logits: NDArray[np.float32]
    scores: list[float] = field(default_factory=list)

    def add(self, instance: Instance) -> None:
        view, logits = self.logits[instance.window.slices], self.seen.logits(instance)
        view[:] = np.where(logits > 0, logits, np.maximum(view, logits))
        self.scores.append(instance.score)

    def remove(self, instance: Instance) -> None:
        view, logits = self.logits[instance.window.slices], self.seen.logits(instance)
        view[logits > 0] = -logits[logits > 0]


def _add_points(canvas: _Canvas, points: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
    """From the largest instance to the smallest, and for each point on it: a positive one adds it, another takes it.

    So smaller instances override larger ones.
    """
    places = [(int(row), int(column)) for row, column in np.floor(points + 0.5)]
    for instance in sorted(canvas.seen.instances, key=lambda each: -each.area):
        for place, positive in zip(places, labels.tolist(), strict=True):
            if instance.holds(place):
                canvas.add(instance) if positive else canvas.remove(instance)


def in_box(instances: Sequence[Instance], box: NDArray[np.float64], shape: tuple[int, int]) -> Instance | None:
    """The instance with the best IoU with a box, whose corners are rounded to sample edges; None if none meets it."""
    low, high = (np.clip(np.round(corner + 0.5), 0, shape).astype(int) for corner in box)
    window = Window.between(low, high)
    merits = [_iou(instance, window) for instance in instances]
    best = int(np.argmax(merits)) if merits else -1
    return instances[best] if best >= 0 and merits[best] > 0 else None


def by_text(
    instances: Iterable[Instance], picture: NDArray[np.float32], phrase: str, ranker: Ranker
) -> tuple[Instance, float] | None:
    """The instance that a phrase describes best, and its share in a softmax over all; None if there is none.

    Parameters
    ----------
    instances : iterable of Instance
    picture : (3, rows, columns) array
        The window, 0 to 1.
    phrase : str
    ranker : Ranker
    """
    large = [instance for instance in instances if instance.area > _SMALLEST]
    if not large:
        return None
    logits = ranker.rank([_alone(instance.window, picture) for instance in large], [phrase])[:, 0]
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = int(np.argmax(shares))
    return large[best], float(shares[best])


def _alone(window: Window, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture that is white but for a window."""
    alone = np.ones_like(picture)
    slices = (slice(None), *window.slices)
    alone[slices] = picture[slices]
    return alone


def _iou(instance: Instance, window: Window) -> float:
    shared = window & instance.window
    if shared.empty:
        return 0.0
    common = np.count_nonzero(instance.samples[shared.within(instance.window).slices])
    return float(common / (window.size + instance.area - common))
