"""From pictures to categories: a softmax over all phrases and the background."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from promptile import models
from promptile.engine.ranking.cutouts import Cutter
from promptile.engine.ranking.options import Phrases
from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.protocols import Model, Ranker
from promptile.run import Run

_TOGETHER = 16
"""Pictures ranked at a time."""


@dataclass(frozen=True)
class Label:
    """What a ranker says of one object."""

    category: str
    """Empty if no phrase fits well enough."""
    score: float
    """Share of the best phrase in a softmax over all phrases and the background, 0 to 1."""


def loaded(ranker: str | Model) -> Ranker:
    """A ranker by name, or the one that is given.

    Raises
    ------
    ModelError
        If it ranks nothing.
    """
    found = models.load(ranker, 2) if isinstance(ranker, str) else ranker
    if not isinstance(found, Ranker):
        name = getattr(getattr(found, "card", None), "name", found)
        raise ModelError(f"Model {name!r} ranks no pictures by texts: choose another --ranker, like clip-b32")
    return found


def rank(run: Run, cutter: Cutter, ranker: Ranker, phrases: Phrases) -> Iterator[tuple[int, Label]]:
    """Each object of a run, by id, and what it is: those without samples first, which are nothing.

    A few pictures are held at a time.
    """
    table = run.objects
    boxes = {
        i: Window.between(*np.reshape(b, (2, -1)).tolist()) for i, b in zip(table["id"], table["bbox"], strict=True)
    }
    yield from ((int(i), Label("", 0.0)) for i, box in boxes.items() if box.empty)
    objects = ((int(i), box) for i, box in boxes.items() if not box.empty)
    while some := list(itertools.islice(objects, _TOGETHER)):
        pictures = [cutter.picture(box, partial(run.mask, object_id)) for object_id, box in some]
        logits = np.asarray(ranker.rank(pictures, phrases.all))
        _check(logits, (len(pictures), len(phrases.all)), ranker)
        yield from zip((object_id for object_id, _ in some), labels_of(logits, phrases), strict=True)


def labels_of(logits: NDArray[np.float32], phrases: Phrases) -> list[Label]:
    """What logits ``(n, phrases.all)`` say of each of ``n`` pictures."""
    exact = logits.astype(np.float64)
    shares = np.exp(exact - exact.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    named = shares[:, : len(phrases.texts)]
    found = []
    for row, mine in zip(shares, named, strict=True):
        best = int(np.argmax(mine))
        fits = mine[best] >= phrases.threshold and mine[best] == row.max()
        found.append(Label(phrases.all[best] if fits else "", float(mine[best])))
    return found


def _check(logits: NDArray[np.float32], shape: tuple[int, int], ranker: Ranker) -> None:
    """Refuse an answer that is none."""
    numbers = np.issubdtype(logits.dtype, np.number)
    if logits.shape != shape or not numbers or not np.isfinite(logits).all():
        raise ModelError(
            f"Model {ranker.card.name!r} answered with shape {logits.shape}, or not with numbers: its rank must "
            f"return one finite logit for each of {shape[0]} pictures and {shape[1]} phrases"
        )
