"""Everything in a view: a grid of points makes any promptable model a proposer.

The way of SAM's automatic mask generation, with its parameters, their names and defaults, but for one rule: masks
that a border of the view cuts are kept, because the other half is seen by the next tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.views import check_masks
from promptile.errors import ModelError, UsageError
from promptile.grid import Window
from promptile.models.protocols import (
    Batched,
    Embedding,
    Masks,
    Model,
    Promptable,
    Proposal,
    Proposer,
    Selective,
    Storable,
    View,
    WindowPrompt,
)

SIDE = 1024
"""Samples along the side that `points_per_side` points are spread over."""
_DENSE, _SPARSE = 32, 16
"""Points per side on a GPU, and on a CPU."""
_SHORTER = 2
"""In volumes that many times as dense: their tiles have shorter sides."""
_MANY, _FEW = 64, 16
"""Points per batch on a GPU, and on a CPU, where larger ones only cost memory."""


@dataclass(frozen=True, kw_only=True)
class GridParameters:
    """What a grid of points asks, and which answers it keeps; the thresholds fit the scores of SAM."""

    points_per_side: int | None = None
    """Points along 1024 samples; None: 32 on a GPU and 16 on a CPU, in volumes twice that. Along an axis with
    a wider spacing there are more, so that points are equally far apart in the world."""
    points_per_batch: int | None = None
    """Points asked together, as far as memory allows; None: 64 on a GPU and 16 on a CPU. No answer depends on it."""
    pred_iou_thresh: float = 0.88
    """Masks with a score above it are kept."""
    stability_score_thresh: float = 0.95
    """Masks are kept whose stability is at least this: the IoU of the mask cut a little higher and a little lower."""
    stability_score_offset: float = 1.0
    """How much higher and lower, in logits."""
    box_nms_thresh: float = 0.7
    """Of masks whose boxes have an IoU above it, the one with the best score is kept."""
    min_mask_region_area: int = 0
    """Holes and islands with fewer samples are removed from masks."""

    def __post_init__(self) -> None:
        counts = {"points_per_side": self.points_per_side, "points_per_batch": self.points_per_batch}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}: it must be 1 or more")
        for name in ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be from 0 to 1")


class PointGrid:
    """A proposer made of a model that answers points: it asks everywhere, and keeps what is sure and new.

    Parameters
    ----------
    model : Promptable
    parameters : GridParameters
    """

    def __init__(self, model: Promptable, parameters: GridParameters) -> None:
        slow = model.card.device == "cpu"
        side = (_SPARSE if slow else _DENSE) * (_SHORTER if model.card.ndim == 3 else 1)
        self.model = model
        self.parameters = replace(parameters, points_per_side=parameters.points_per_side or side, points_per_batch=None)
        self._batch = parameters.points_per_batch or (_FEW if slow else _MANY)
        self.card = replace(
            model.card,
            abilities=model.card.abilities | {"propose"},
            digest=f"{model.card.digest} {self.parameters}",
        )

    def propose(self, view: View, known: Embedding | None = None) -> list[Proposal]:
        """All objects that the points find; `known` is what was kept of this very view."""
        points = grid_points(view, self.parameters.points_per_side or _DENSE)
        if not len(points):
            return []
        answers = self._answers(known or self._look(view), [_click(point) for point in points])
        seen: list[_Packed] = []
        for masks in answers:
            if isinstance(self.model, Selective) and not len(masks.scores):
                continue
            check_masks(masks, self.model.card, view.shape)
            seen += _sure(masks, view.valid, self.parameters)
        new = without_repeats([s.window for s in seen], [s.score for s in seen], self.parameters.box_nms_thresh)
        found = [seen[i].unpacked() for i in new]
        return _tidied(found, view.valid, self.parameters) if self.parameters.min_mask_region_area > 0 else found

    def _look(self, view: View) -> Embedding:
        """The embedding as it would come from the disk, so that it makes no difference whether it does."""
        (embedding,) = self.model.embed([view])
        return self.model.unpack(self.model.pack(embedding)) if isinstance(self.model, Storable) else embedding

    def _answers(self, embedding: Embedding, prompts: Sequence[WindowPrompt]) -> Iterator[Masks]:
        """The answer to each prompt; batches are halved when memory runs out."""
        if not isinstance(self.model, Batched):
            yield from (self.model.predict(embedding, prompt) for prompt in prompts)
            return
        size = self._batch
        while prompts:
            size = min(size, len(prompts))
            try:
                answers = self._batch_of(self.model, embedding, prompts[:size])
            except Exception as error:
                if size == 1 or not _out_of_memory(error):
                    raise
                size //= 2
                continue
            prompts = prompts[size:]
            yield from answers

    def _batch_of(self, model: Batched, embedding: Embedding, prompts: Sequence[WindowPrompt]) -> list[Masks]:
        """What matters of the answers: the rest need not even be drawn."""
        if isinstance(model, Selective):
            return model.predict_above(embedding, prompts, self.parameters.pred_iou_thresh)
        return model.predict_batch(embedding, prompts)


def proposer_of(model: Model, parameters: GridParameters | None = None) -> Proposer:
    """The model itself if it finds objects by itself, else a grid of points around it.

    Parameters
    ----------
    model : Model
    parameters : GridParameters, optional
        With them it is a grid of points in any case.

    Raises
    ------
    ModelError
        If the model does neither.
    """
    points = "points" in model.card.abilities and isinstance(model, Promptable)
    if "propose" in model.card.abilities and isinstance(model, Proposer):
        if parameters is None:
            return model
        if not points:
            raise ModelError(
                f"Model {model.card.name!r} finds objects by itself and answers no points: leave out the parameters "
                "of the grid of points"
            )
    if not (points and isinstance(model, Promptable)):
        raise ModelError(
            f"Model {model.card.name!r} neither finds objects by itself nor answers points: "
            "use one that does, like --model basin"
        )
    return PointGrid(model, parameters or GridParameters())


def grid_points(view: View, per_side: int) -> NDArray[np.float64]:
    """``(n, ndim)``: the middles of equal cells of a view, without those on samples that are not valid.

    ::

        per_side = 4 on 1024 samples:   |   o   |   o   |   o   |   o   |
    """
    finest = min(view.spacing)
    counts = [max(1, round(n * s / finest * per_side / SIDE)) for n, s in zip(view.shape, view.spacing, strict=True)]
    counts = [min(count, n) for count, n in zip(counts, view.shape, strict=True)]
    lines = [(np.arange(count) + 0.5) * n / count - 0.5 for count, n in zip(counts, view.shape, strict=True)]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(lines))
    held: NDArray[np.float64] = points[view.valid[tuple(np.floor(points + 0.5).astype(int).T)]]
    return held


def _click(point: NDArray[np.float64]) -> WindowPrompt:
    return WindowPrompt(point[None], np.ones(1, bool))


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's own error, or the one of torch and others, told by its name."""
    return isinstance(error, MemoryError) or any(c.__name__ == "OutOfMemoryError" for c in type(error).__mro__)


@dataclass(frozen=True, eq=False)
class _Packed:
    """A proposal in an eighth of the memory, until it is known to be new."""

    window: Window
    bits: NDArray[np.uint8]
    score: float

    def unpacked(self) -> Proposal:
        samples = np.unpackbits(self.bits, count=self.window.size).reshape(self.window.shape)
        return Proposal(self.window, samples.astype(bool), self.score)


def _sure(masks: Masks, valid: NDArray[np.bool_], parameters: GridParameters) -> Iterator[_Packed]:
    """The masks that are sure enough."""
    for logits, score in zip(masks.logits, masks.scores.tolist(), strict=True):
        if not score > parameters.pred_iou_thresh:
            continue
        certain = np.count_nonzero(logits > parameters.stability_score_offset)
        possible = np.count_nonzero(logits > -parameters.stability_score_offset)
        if certain < parameters.stability_score_thresh * possible:
            continue
        mask = (logits > 0) & valid
        if mask.any():
            window, samples = _cropped(Window.of(mask.shape), mask)
            yield _Packed(window, np.packbits(samples), float(np.clip(score, 0, 1)))


def _cropped(window: Window, mask: NDArray[np.bool_]) -> tuple[Window, NDArray[np.bool_]]:
    """A mask that is not empty in its smallest window."""
    axes = range(mask.ndim)
    held = [np.flatnonzero(mask.any(axis=tuple(a for a in axes if a != axis))) for axis in axes]
    inner = Window.between([int(h[0]) for h in held], [int(h[-1]) + 1 for h in held])
    return inner.shift(window.start), mask[inner.slices]


def without_repeats(windows: Sequence[Window], merits: Sequence[float], limit: float) -> list[int]:
    """Positions of the boxes that stay, by merit: of those with an IoU above `limit` the first of the best."""
    if not windows:
        return []
    starts, stops = np.array([w.start for w in windows]), np.array([w.stop for w in windows])
    sizes = (stops - starts).prod(axis=1)
    order = np.argsort(-np.asarray(merits, float), kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        shared = np.minimum(stops[best], stops[order]) - np.maximum(starts[best], starts[order])
        common = np.maximum(shared, 0).prod(axis=1)
        order = order[common <= limit * (sizes[best] + sizes[order] - common)]
    return kept


def _tidied(proposals: Sequence[Proposal], valid: NDArray[np.bool_], parameters: GridParameters) -> list[Proposal]:
    """Proposals without small holes and islands; where that makes two alike, one that needed no change is kept."""
    tidied = [_tidy(proposal, valid, parameters.min_mask_region_area) for proposal in proposals]
    unchanged = [float(new is old) for new, old in zip(tidied, proposals, strict=True)]
    kept = without_repeats([p.window for p in tidied], unchanged, parameters.box_nms_thresh)
    return [tidied[i] for i in sorted(kept)]


def _tidy(proposal: Proposal, valid: NDArray[np.bool_], least: int) -> Proposal:
    """The proposal itself if it has neither holes nor islands below `least` samples."""
    mask = proposal.samples
    touching = np.ones((3,) * mask.ndim)
    gaps, _ = ndimage.label(np.pad(~mask, 1, constant_values=True), touching)
    small = np.bincount(gaps.ravel()) < least
    small[[0, gaps.flat[0]]] = False  # the mask, and what is around it
    inside = (slice(1, -1),) * mask.ndim
    mask = mask | (small[gaps][inside] & valid[proposal.window.slices])
    islands, count = ndimage.label(mask, touching)
    sizes = np.bincount(islands.ravel())
    sizes[0] = 0
    stays = sizes >= min(least, sizes.max())
    if count > 1 and not stays[1:].all():
        stays[0] = False
        mask = stays[islands]
    if np.array_equal(mask, proposal.samples):
        return proposal
    return Proposal(*_cropped(proposal.window, mask), proposal.score)
