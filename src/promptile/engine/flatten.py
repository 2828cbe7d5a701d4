"""What a model proposes in one tile, made flat: no two objects of a layer share a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.overlaps import packed, shared_counts
from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.protocols import Proposal
from promptile.stitching.types import LOCAL, TileAnswer

Keep = Literal["best", "whole", "part", "all"]

SAME = 0.8
"""Two masks with an IoU above it are one object seen twice: the one with the better score stays."""
HELD = 0.8
"""A mask with at least this share of its samples in a larger one is a part of it."""
FILLED = 0.75
"""A mask of which others take this share is nearly filled: there is no object of its own left."""
FAR = 4.0
"""A part whose score is so many times that of what holds it is an object of its own."""
NEAR = 0.85
"""A part of the ground beneath a tile whose score is at least this part of the ground's is an object of its own."""
CRUMB = 0.05
"""Pieces of a trimmed mask below this share of it are left out."""
LAYERS = 4
"""Depth of a hierarchy: whole, part, part of a part, and what is in there; deeper parts are left out."""
MOST = int(np.iinfo(LOCAL).max)
"""Ids that one tile can give."""


@dataclass(frozen=True, eq=False)
class _Mask:
    """A proposal in its smallest window."""

    window: Window
    samples: NDArray[np.bool_]
    score: float
    area: int

    @classmethod
    def of(cls, proposal: Proposal, shape: Sequence[int]) -> _Mask | None:
        """None if the proposal is empty."""
        window, samples = proposal.window, proposal.samples
        if samples.shape != window.shape or window not in Window.of(shape):
            raise ModelError(
                f"The model proposes samples of shape {samples.shape} for {window} in a view of shape {tuple(shape)}: "
                "a proposal's samples fill its window, and the window lies in the view"
            )
        area = int(np.count_nonzero(samples))
        if not area:
            return None
        axes = range(samples.ndim)
        held = [np.flatnonzero(samples.any(axis=tuple(a for a in axes if a != axis))) for axis in axes]
        inner = Window.between([int(h[0]) for h in held], [int(h[-1]) + 1 for h in held])
        return cls(inner.shift(window.start), samples[inner.slices], float(proposal.score), area)

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        return packed(self.window, self.samples)

    @property
    def rank(self) -> tuple[float, int, Window, bytes]:
        """Best first, and the same for every order in which the masks come: only equal masks have equal ranks."""
        return -self.score, -self.area, self.window, self.words.tobytes()


@dataclass(frozen=True, eq=False)
class _Forest:
    """Masks that differ, the best first, and which of them holds which."""

    shape: tuple[int, ...]
    masks: list[_Mask]
    parents: list[int]
    """Position of the smallest mask that holds it, or -1."""

    @cached_property
    def children(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {i: [] for i in range(-1, len(self.masks))}
        for i, parent in enumerate(self.parents):
            found[parent].append(i)
        return found

    @cached_property
    def inward(self) -> list[int]:
        """Positions of all masks, each before the ones that hold it."""
        return sorted(range(len(self.masks)), key=lambda i: (self.masks[i].area, -i))


@dataclass(eq=False)
class _Canvas:
    """Labels that masks are painted on, one layer after the other."""

    labels: NDArray[np.uint16]
    min_region: int
    ids: dict[int, int] = field(default_factory=dict)
    """Position of a mask that is painted, and its id."""

    def paint(self, forest: _Forest, position: int, layer: int, parent: int = -1) -> bool:
        """Give a mask what is free of it, within its parent on the layer above; False if too little is left."""
        mask = forest.masks[position]
        view = self.labels[layer][mask.window.slices]
        mine = mask.samples & (view == 0)
        if parent >= 0:
            mine &= self.labels[layer - 1][mask.window.slices] == self.ids[parent]
        left = np.count_nonzero(mine)
        if left <= (1 - FILLED) * mask.area:
            return False
        if left < mask.area:
            mine = _without_crumbs(mine, CRUMB * mask.area)
            left = np.count_nonzero(mine)
        if left == 0 or (left < self.min_region and not _reaches_border(mask.window, self.labels.shape[1:])):
            return False
        if len(self.ids) == MOST:
            raise ModelError(f"The model sees more than {MOST} objects in one tile, the most there can be: use --tile "
                             f"with less than {max(self.labels.shape[1:])}, or ask for fewer proposals")  # fmt: skip
        self.ids[position] = len(self.ids) + 1
        view[mine] = self.ids[position]
        return True


def flatten(
    shape: Sequence[int], proposals: Sequence[Proposal], keep: Keep = "best", min_region: int = 0
) -> TileAnswer:
    """Proposals as labels; the same for every order of the proposals.

    A mask that is nearly the same as a better one goes. A mask that lies in a larger one is its part. Where masks
    overlap otherwise, the better one has the samples and the other is trimmed; of what is trimmed, small pieces go, and
    all of it if little is left. Masks that the border of the view cuts are objects like all others.

    Parameters
    ----------
    shape : sequence of int
        Of the view; at most three axes.
    proposals : sequence of Proposal
    keep : str
        ``best``: whole objects, but not one that is nearly filled by parts with better scores; parts with far better
        scores are cut out of what holds them, and of the ground beneath the whole view all nearly as good ones.
        ``whole``: the outermost masks. ``part``: the innermost ones, and of the others what they leave. ``all``:
        `LAYERS` layers, wholes first, each part within its parent.
    min_region : int
        Objects with fewer samples are left out, unless they touch the border of the view.

    Raises
    ------
    ModelError
        If there are more objects than ids, or a proposal does not fit the view.
    """
    forest = _forest(tuple(shape), proposals)
    layers = LAYERS if keep == "all" else 1
    canvas = _Canvas(np.zeros((layers, *shape), LOCAL), min_region)
    if keep == "all":
        parents = _paint_layers(forest, canvas)
    else:
        chosen = {"best": _best, "whole": _outermost, "part": _innermost}[keep](forest)
        for position in chosen:
            canvas.paint(forest, position, 0)
        parents = {}
    scores = np.array([forest.masks[i].score for i in canvas.ids], np.float32)
    uppers = np.array([canvas.ids.get(parents.get(i, -1), 0) for i in canvas.ids], np.int32)
    return TileAnswer(canvas.labels, scores, uppers)


def _forest(shape: tuple[int, ...], proposals: Iterable[Proposal]) -> _Forest:
    found = [_Mask.of(proposal, shape) for proposal in proposals]
    masks = sorted((m for m in found if m is not None), key=lambda m: m.rank)
    areas = np.array([m.area for m in masks], np.int64)
    pairs = shared_counts([m.window for m in masks], [m.words for m in masks])
    first, second = np.minimum(pairs[0], pairs[1]), np.maximum(pairs[0], pairs[1])
    order = np.lexsort((second, first))
    first, second, shared = first[order], second[order], pairs[2][order]
    stays = _without_twins(len(masks), first, second, shared > SAME * (areas[first] + areas[second] - shared))
    meet = stays[first] & stays[second]
    first, second, shared = first[meet], second[meet], shared[meet]
    swap = areas[first] < areas[second]  # of two masks of one size the better one is the whole
    inner, outer = np.where(swap, first, second), np.where(swap, second, first)
    held = shared >= HELD * areas[inner]
    parents = np.full(len(masks), -1)
    tightest = np.lexsort((-outer, areas[outer]))[::-1]  # the last one written is the smallest
    tightest = tightest[held[tightest]]
    parents[inner[tightest]] = outer[tightest]
    kept = np.flatnonzero(stays)
    renumbered = np.full(len(masks) + 1, -1)  # -1 finds the last entry
    renumbered[kept] = np.arange(len(kept))
    return _Forest(shape, [masks[i] for i in kept], renumbered[parents[kept]].tolist())


def _without_twins(
    count: int, first: NDArray[np.int64], second: NDArray[np.int64], same: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which masks stay: of those that are the same as a better one that stays, none."""
    stays = np.ones(count, bool)
    for better, worse in zip(first[same].tolist(), second[same].tolist(), strict=True):
        if stays[better]:
            stays[worse] = False
    return stays


def _best(forest: _Forest) -> list[int]:
    """From the innermost outwards: what holds others stands for them, unless they stand better for themselves.

    The ground comes last: it has what its parts leave.
    """
    chosen: dict[int, list[int]] = {}
    grounds: set[int] = set()
    for i in forest.inward:
        mask = forest.masks[i]
        parts = [part for child in forest.children[i] for part in chosen.pop(child)]
        if _mean_score(forest, parts) > mask.score and _filled(forest, i, parts):
            chosen[i] = parts
            continue
        ground = mask.window == Window.of(forest.shape)
        least = (NEAR if ground else FAR) * mask.score
        apart = [part for part in parts if forest.masks[part].score > least]
        chosen[i] = [i, *apart]
        if ground and apart:
            grounds.add(i)
    return sorted((part for parts in chosen.values() for part in parts), key=lambda i: (i in grounds, i))


def _mean_score(forest: _Forest, parts: list[int]) -> float:
    """Over the samples of masks."""
    areas = [forest.masks[i].area for i in parts]
    return sum(forest.masks[i].score * area for i, area in zip(parts, areas, strict=True)) / max(sum(areas), 1)


def _filled(forest: _Forest, whole: int, parts: list[int]) -> bool:
    """Whether parts fill nearly all of a mask."""
    mask = forest.masks[whole]
    if sum(forest.masks[i].area for i in parts) < FILLED * mask.area:
        return False
    taken = np.zeros(mask.window.shape, bool)
    for part in (forest.masks[i] for i in parts):
        shared = part.window & mask.window
        taken[shared.within(mask.window).slices] |= part.samples[shared.within(part.window).slices]
    return bool(np.count_nonzero(taken & mask.samples) >= FILLED * mask.area)


def _outermost(forest: _Forest) -> list[int]:
    return forest.children[-1]


def _innermost(forest: _Forest) -> list[int]:
    """All, those that hold nothing first."""
    heights = [0] * len(forest.masks)
    for i in forest.inward:
        if forest.parents[i] >= 0:
            heights[forest.parents[i]] = max(heights[forest.parents[i]], heights[i] + 1)
    return sorted(range(len(forest.masks)), key=lambda i: (heights[i], i))


def _paint_layers(forest: _Forest, canvas: _Canvas) -> dict[int, int]:
    """Paint wholes, then their parts, and so on; the parent of each mask that is painted.

    Parts of a mask of which too little is left take its place.
    """
    parents: dict[int, int] = dict.fromkeys(forest.children[-1], -1)
    waiting = forest.children[-1]
    for layer in range(len(canvas.labels)):
        painted: list[int] = []
        while waiting:
            dropped = [i for i in waiting if not canvas.paint(forest, i, layer, parents[i])]
            painted += [i for i in waiting if i in canvas.ids]
            parents |= {child: parents[i] for i in dropped for child in forest.children[i]}
            waiting = sorted(child for i in dropped for child in forest.children[i])
        parents |= {child: i for i in painted for child in forest.children[i]}
        waiting = sorted(child for i in painted for child in forest.children[i])
    return parents


def _without_crumbs(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """The pieces of a mask that have at least so many samples."""
    pieces, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count < 2:
        return mask
    stays = np.bincount(pieces.ravel()) >= least
    stays[0] = False
    large: NDArray[np.bool_] = stays[pieces]
    return large


def _reaches_border(window: Window, shape: Sequence[int]) -> bool:
    return any(a == 0 or b == n for a, b, n in zip(window.start, window.stop, shape, strict=True))
