"""`Plane`: the model for images. What was asked decides which parts work together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane import contours, ranking
from promptile.models.basin.plane.corrections import astray, correct, misses
from promptile.models.basin.plane.cut import believed, log_odds, settle, tidy
from promptile.models.basin.plane.features import Features
from promptile.models.basin.plane.frame import INNER, MARGIN, SIDE, Frame
from promptile.models.basin.plane.growth import grow
from promptile.models.basin.plane.prior import posterior
from promptile.models.basin.plane.proposals import proposals
from promptile.models.basin.plane.regions import winding
from promptile.models.basin.plane.sight import Sight
from promptile.models.protocols import Embedding, Masks, ModelCard, Proposal, View, WindowPrompt

CERTAIN = np.float32(8.0)
"""Logit of what is known: no data is no object, and nothing reaches out of a box."""
_REACH = 4
"""How far a box may reach beyond the window, in windows: with larger ones no cell would see the window."""
VIOLATION = 1.0
"""Log odds against a contour per unit of `contours.against`."""
TOLD = 0.8
"""Score of an answer that follows an earlier one."""
CANDIDATES = 3
"""Answers to one click: a part, the whole, something larger."""
CRUMB = 0.1
"""Pieces smaller than this share of the largest are dropped."""


NOTHING = WindowPrompt(np.empty((0, 2)), np.empty(0, bool))


class Plane:
    """Segments images from boxes, points and masks: shapes, contours, one cut, local corrections."""

    def __init__(self) -> None:
        self.card = ModelCard(
            name="basin",
            family="basin",
            abilities=frozenset({"points", "box", "mask", "propose"}),
            ndim=2,
            licence="BSD-3-Clause",
            digest="plane-8",
        )

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        sights = [Sight(view) for view in views]
        return [Embedding(sight, self.card.digest, sight.nbytes) for sight in sights]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        sight: Sight = embedding.content
        logits, scores = self._start(sight, prompt)
        boxed = prompt.box is not None
        answers = [correct(sight, each, prompt.points, prompt.labels, boxed=boxed) for each in logits]
        stack = np.stack(answers) if len(answers) > 1 else answers[0][None]
        if not sight.view.valid.all():
            stack = np.where(sight.view.valid, stack, -CERTAIN)
        return Masks(stack, np.asarray(scores, np.float64))

    def propose(self, view: View) -> list[Proposal]:
        return proposals(view)

    def _start(self, sight: Sight, prompt: WindowPrompt) -> tuple[list[NDArray[np.float32]], list[float]]:
        """Answers before the points are heard that contradict them."""
        if prompt.mask is not None and (prompt.mask > 0).any():
            return [_from_mask(sight, prompt, prompt.mask.astype(np.float32))], [TOLD]
        if prompt.box is not None:
            return _from_box(sight, prompt.box)
        if prompt.labels.any():
            return _from_clicks(sight, prompt)
        return [np.full(sight.view.shape, -CERTAIN)], [0.0]


def _from_mask(sight: Sight, prompt: WindowPrompt, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """A whole answer that clicks contradict is theirs to correct; anything else is continued or drawn finer.

    A whole answer to a box stands if its clicks agree with it.
    """
    whole = bool((mask != 0).all())
    if whole and misses(mask, prompt.points, prompt.labels):
        return _otherwise(sight, prompt, mask)
    if whole and prompt.box is not None and len(prompt.points):
        return mask
    frame, inside = grow(sight, prompt, mask)
    return _paste(frame, inside, None)


def _otherwise(sight: Sight, prompt: WindowPrompt, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """The earlier answer, or a contour that fewer clicks contradict if the answer is of something else."""
    told = prompt.points, prompt.labels
    if prompt.box is not None or not prompt.labels.any() or not astray(mask, *told):
        return mask
    answers, _ = _contours(sight, *told)
    return min([*answers, mask], key=lambda answer: misses(answer, *told))


def _from_box(sight: Sight, box: NDArray[np.float64]) -> tuple[list[NDArray[np.float32]], list[float]]:
    window = np.array(sight.view.shape)
    box = np.clip(box, -_REACH * window, (1 + _REACH) * window)
    frame = Frame.around(box, sight.view.shape)
    features = Features.of(sight.view, frame)
    shape = posterior(features, frame)
    inner = slice(MARGIN, MARGIN + INNER)
    held = np.ones((SIDE, SIDE), bool)
    held[inner, inner] = ~features.known[inner, inner]
    inside = settle(features.links, believed(features, shape.inside), held, np.zeros((SIDE, SIDE), np.float32))
    inside = tidy(shape.temper(features, inside), CRUMB)
    return [_paste(frame, inside, box)], [shape.agreement(inside)]


def _from_clicks(sight: Sight, prompt: WindowPrompt) -> tuple[list[NDArray[np.float32]], list[float]]:
    on = prompt.points[prompt.labels]  # corrections carve the others: a contour would leave out what lies behind them
    click = on[0]
    answers, scores = _contours(sight, on, np.ones(len(on), bool))
    region = winding(sight, click)
    if region is not None and misses(region, prompt.points, prompt.labels):
        region = None
    if region is None:
        return answers, scores
    frame, inside = grow(sight, replace(NOTHING, mask=region), region)
    return [_paste(frame, inside, None), *answers[:-1]], [max(TOLD, scores[0]), *scores[:-1]]


def _contours(
    sight: Sight, points: NDArray[np.float64], labels: NDArray[np.bool_]
) -> tuple[list[NDArray[np.float32]], list[float]]:
    """Objects around the first point on one, the best first."""
    polar = contours.unroll(sight, points[labels][0])
    against = contours.against(polar, points, labels)
    paths = contours.search(polar, against)
    score = ranking.scores(polar, paths) - VIOLATION * np.take_along_axis(against, paths.T, axis=1).sum(axis=0)
    chosen, scores = ranking.choose(paths, score, CANDIDATES)
    return [_refined(sight, polar, paths[i]) for i in chosen], scores


def _refined(sight: Sight, polar: contours.Polar, path: NDArray[np.int64]) -> NDArray[np.float32]:
    """A contour, cut once more on the cells of its own box."""
    box = contours.bounds(polar, path)
    frame = Frame.around(np.clip(box, -0.5, np.subtract(sight.view.shape, 0.5)), sight.view.shape)
    features = Features.of(sight.view, frame)
    held = ~features.known
    drawn = contours.soften(contours.fill(polar, path, frame))
    inside = settle(features.links, believed(features, drawn), held, np.zeros((SIDE, SIDE), np.float32))
    return _paste(frame, tidy(inside, 1.0), None)


def _paste(frame: Frame, inside: NDArray[np.float32], box: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """The cells' answer on the window's samples: certainly not the object outside of the frame, or the box."""
    low, high = (frame.low, frame.low + frame.cell * frame.shape) if box is None else box
    within = tuple(
        slice(max(s.start, int(np.floor(a)) + 1), max(s.start, min(s.stop, int(np.ceil(b)))))
        for s, a, b in zip(frame.piece, low, high, strict=True)
    )
    logits = np.full(frame.window, -CERTAIN, np.float32)
    shown = tuple(slice(w.start - s.start, w.stop - s.start) for w, s in zip(within, frame.piece, strict=True))
    logits[within] = log_odds(frame.spread(inside)[shown])
    return logits
