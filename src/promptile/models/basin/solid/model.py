"""The 3D half of `basin` as a model: which way a prompt goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.solid.candidates import Candidate, Clicks, candidates, ellipsoid, fine, rounded
from promptile.models.basin.solid.consensus import agreed
from promptile.models.basin.solid.corrections import corrected, lost, mistake
from promptile.models.basin.solid.growth import grown, partial
from promptile.models.basin.solid.masks import tidied
from promptile.models.basin.solid.proposals import proposals
from promptile.models.basin.solid.ranking import BOX, CLICK, FLAT_BOX
from promptile.models.basin.solid.resolving import resolved
from promptile.models.basin.solid.supports import flat_axis, supports_of_box, supports_of_click
from promptile.models.basin.solid.workgrid import Field
from promptile.models.protocols import Embedding, Masks, ModelCard, Proposal, View, WindowPrompt

LIMIT = 0.01
"""Fields end here and at one minus this, so that logits stay finite."""
CONTINUED = 0.8
"""Score of an answer that follows an earlier one."""
OTHER_SIZE = 1.5
"""Ratio of volumes from which a candidate is a part or a larger whole."""


class Solid:
    """Segments volumes without weights: hypotheses, ranking, refinement, and local corrections."""

    def __init__(self) -> None:
        self.card = ModelCard(
            name="basin",
            family="basin",
            abilities=frozenset({"points", "box", "mask", "propose"}),
            ndim=3,
            licence="BSD-3-Clause",
            digest="basin-solid-7",
        )

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        return [Embedding(v, self.card.digest, v.samples.nbytes + v.valid.nbytes) for v in views]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        view: View = embedding.content
        samples = view.samples[0] if len(view.samples) == 1 else view.samples.mean(axis=0)
        samples = np.asarray(samples, np.float32)
        if prompt.mask is not None and (prompt.mask > 0).any() and not _restarts(view, prompt):
            return _continued(samples, view, prompt)
        return _found(samples, view, prompt)

    def propose(self, view: View) -> list[Proposal]:
        return proposals(view)


def _found(samples: Field, view: View, prompt: WindowPrompt) -> Masks:
    """Answers from a box or clicks alone."""
    clicks = Clicks(prompt.points, prompt.labels)
    if prompt.box is None and not prompt.labels.any():
        return Masks(_logit(np.zeros((1, *view.shape), np.float32)), np.zeros(1))
    if prompt.box is not None:
        supports = supports_of_box(prompt.box, view)
        ranking = FLAT_BOX if supports[0].flat is not None else BOX
    else:
        supports = supports_of_click(prompt.points[prompt.labels][0], view.shape, view.spacing)
        ranking = CLICK
    found = candidates(samples, view.valid, view.spacing, supports, clicks, ranking)
    if not found:
        return Masks(_logit(np.zeros((1, *view.shape), np.float32)), np.zeros(1))
    found = agreed(found, view.spacing, ranking.temperature)
    chosen = [fine(c, samples, view.valid, view.spacing) for c in _various(found)]
    if prompt.box is not None:
        chosen = sorted([*map(rounded, chosen[:2]), ellipsoid(found[0])], key=lambda c: -c.score)
    fields = []
    for candidate in chosen:
        field = np.zeros(view.shape, np.float32)
        grid = candidate.scene.grid
        field[grid.window.slices] = grid.spread(candidate.field) * candidate.support.allows(grid.sample_centres)
        fields.append(_obeying(tidied(field), samples, view, prompt))
    return Masks(_logit(np.stack(fields)), ranking.quality(np.array([c.score for c in chosen])))


def _various(found: list[Candidate]) -> list[Candidate]:
    """The best candidate, and the best ones that are a clearly smaller part and a clearly larger whole."""
    chosen = found[:1]
    volume = found[0].volume
    chosen += [c for c in found if c.volume < volume / OTHER_SIZE][:1]
    chosen += [c for c in found if c.volume > volume * OTHER_SIZE][:1]
    return sorted(chosen, key=lambda c: -c.score)


def _restarts(view: View, prompt: WindowPrompt) -> bool:
    """Whether the newest click says that the mask is about another object."""
    if prompt.box is None or prompt.mask is None or not len(prompt.points) or partial(prompt.mask, view.valid):
        return False
    field = np.where(view.valid, prompt.mask > 0, False).astype(np.float32)
    point, label = prompt.points[-1], bool(prompt.labels[-1])
    return _contradicts(field, view, point, label) and lost(field, view.spacing, (point, label))


def _contradicts(field: Field, view: View, point: NDArray[np.float64], label: bool) -> bool:
    at = tuple(np.clip(np.rint(point).astype(int), 0, np.subtract(view.shape, 1)))
    return bool(field[at] > 0.5) != label


def _continued(samples: Field, view: View, prompt: WindowPrompt) -> Masks:
    """An earlier answer after the clicks that contradict it; a partial one is grown over the window first."""
    mask = prompt.mask if prompt.mask is not None else np.zeros(view.shape, np.float32)
    box = None if prompt.box is None or flat_axis(prompt.box) is not None else prompt.box
    if partial(mask, view.valid):
        field = grown(samples, view.valid, view.spacing, mask, box)
    else:
        field = (1 / (1 + np.exp(-mask.astype(np.float32)))).astype(np.float32)
        if box is None:  # a box around all of the object has told its size: there only the click's reach changes
            field = _resolved(field, samples, view, prompt)
    return Masks(_logit(_obeying(field, samples, view, prompt))[None], np.array([CONTINUED]))


def _resolved(field: Field, samples: Field, view: View, prompt: WindowPrompt) -> Field:
    """The field solved anew between all clicks, if one contradicts it and there are some of both kinds."""
    clicks = Clicks(prompt.points, prompt.labels)
    wrong = [
        mistake(field, view.spacing, (point, bool(label)))
        for point, label in zip(clicks.points, clicks.labels, strict=True)
        if _contradicts(field, view, point, bool(label))
    ]
    if not wrong or clicks.labels.all() or not clicks.labels.any():
        return field
    field = _obeying(field, samples, view, prompt)
    return resolved(field, samples, view.valid, view.spacing, clicks, max(wrong))


def _obeying(field: Field, samples: Field, view: View, prompt: WindowPrompt) -> Field:
    """The field, corrected by each click that it contradicts."""
    for point, label in zip(prompt.points, prompt.labels, strict=True):
        if _contradicts(field, view, point, bool(label)):
            field = corrected(field, samples, view.valid, view.spacing, (point, bool(label)))
    return np.where(view.valid, field, 0)


def _logit(field: NDArray[np.float32]) -> NDArray[np.float32]:
    logits = np.full(field.shape, np.log(LIMIT / (1 - LIMIT)), np.float32)
    seen = field > LIMIT  # a small part: logarithms take long
    inside = np.minimum(field[seen], np.float32(1 - LIMIT))
    logits[seen] = np.log(inside / (1 - inside))
    return logits
