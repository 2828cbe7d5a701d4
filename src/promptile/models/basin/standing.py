"""Which regions of a tree stand out as objects, how much, and their masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.hierarchy import Tree
from promptile.models.basin.joining import BORDER, OPEN, SIZE, STEEP, STRONG, WEAK

SAME = 0.5
"""Of regions that lie in one another and differ by less than this in size, only the best is an object."""
GROUND, REACH = 0.5, 0.9
"""A region that has more than this share of what is known, and reaches over so much of it along each axis, is the
ground."""
EVEN = 0.5
"""Steps of steepness, and of cost, that count as none in ratios."""
LONGEST, ROUNDEST = 3.0, 1.2
"""What a long life, and a round shape, count at most."""


@dataclass(frozen=True, kw_only=True)
class Taste:
    """What objects look like: log odds of an IoU of one, as a sum over what is seen of a region."""

    least_size: float
    """Smaller regions are none, and smaller holes belong to what is around them; in units of the smallest spacing."""
    least_score: float
    """Of a region of the likeliest size; larger ones may have less."""
    least_seam: float
    """Steepness of the border to what it would be joined with, below which a region does not stand out, in steps per
    smallest spacing."""
    constant: float
    weak: float
    """Of the share of weak border."""
    contrast: float
    """Of the log ratio of the steepness on the border and inside."""
    round: float
    """Of the border of a disc, or ball, of this size against the region's own, squared."""
    life: float
    """Of the log ratio of the costs of joining it to another region and of joining what is in it."""
    size: float
    """Of the decimal logarithm of the size."""
    size_squared: float


@dataclass(frozen=True, eq=False)
class Region:
    """An object that was seen."""

    box: tuple[slice, slice, slice]
    mask: NDArray[np.bool_]
    score: float


def scores(tree: Tree, taste: Taste) -> NDArray[np.float64]:
    """``(n,)``: how likely each region is an object, 0 for those that cannot be one."""
    size, border, cut = (tree.amounts[:, i] for i in (SIZE, BORDER, OPEN))
    inner = np.maximum(border, 1)
    edge, weak = tree.amounts[:, STRONG] / inner, tree.amounts[:, WEAK] / inner
    death = np.where(tree.parents >= 0, tree.costs[tree.parents], tree.costs)
    decimals = np.log10(size)
    odds = (
        taste.constant
        + taste.weak * weak
        + taste.contrast * np.log((edge + EVEN) / (tree.amounts[:, STEEP] / size + EVEN))
        + taste.round * np.minimum(_roundness(size, border + cut, flat=tree.basins.shape[0] == 1), ROUNDEST)
        + taste.life * np.clip(np.log((death + EVEN) / (tree.costs + EVEN)), 0, LONGEST)
        + taste.size * decimals
        + taste.size_squared * decimals**2
    )
    likeliest = -taste.size / (2 * taste.size_squared) if taste.size_squared else np.inf
    larger = (
        np.maximum(decimals - likeliest, 0) ** 2
    )  # that an object is large makes it less likely, but not less clear
    clear = 1 / (1 + np.exp(taste.size_squared * larger - odds)) > taste.least_score
    stands = clear & (size >= taste.least_size) & (tree.seams >= taste.least_seam) & ~_ground(tree)
    likely: NDArray[np.float64] = np.where(stands, 1 / (1 + np.exp(-odds)), 0)
    return likely


def _ground(tree: Tree) -> NDArray[np.bool_]:
    size, whole = tree.amounts[:, SIZE], tree.parents < 0
    low, high = tree.boxes[whole, 0].min(axis=0), tree.boxes[whole, 1].max(axis=0)
    spans = (tree.boxes[:, 1] - tree.boxes[:, 0] >= REACH * (high - low)).all(axis=1)
    ground: NDArray[np.bool_] = spans & (size > GROUND * size[whole].sum())
    return ground


def _roundness(size: NDArray[np.float64], border: NDArray[np.float64], *, flat: bool) -> NDArray[np.float64]:
    """About 1 for discs and balls: along faces of samples a line is longer by 4 / π, a surface larger by 3 / 2."""
    length = np.maximum(border * (np.pi / 4 if flat else 2 / 3), 1)
    disc = 4 * np.pi * size if flat else (36 * np.pi) ** (2 / 3) * size ** (4 / 3)
    round_: NDArray[np.float64] = disc / length**2
    return round_


def standing(tree: Tree, taste: Taste) -> Iterator[Region]:
    """The objects, the best first: parts, wholes and larger ones."""
    likely = scores(tree, taste)
    order = np.argsort(-likely, kind="stable")
    order = order[: np.count_nonzero(likely)]
    chosen = order[_chosen(order, tree.parents, tree.halves, tree.amounts[:, SIZE])]
    holes = taste.least_size * np.count_nonzero(tree.basins >= 0) / tree.amounts[tree.parents < 0, SIZE].sum()
    firsts, lasts, places = _places(tree.parents, tree.halves, tree.basins)
    for i in chosen.tolist():
        low, high = tree.boxes[i].tolist()
        z, y, x = (slice(a, b) for a, b in zip(low, high, strict=True))
        mask = _mask(np.ascontiguousarray(places[z, y, x]), firsts[i], lasts[i], holes)
        yield Region((z, y, x), mask, float(likely[i]))


@numba.njit(cache=True, nogil=True)
def _chosen(order: Any, parents: Any, halves: Any, size: Any) -> Any:
    """Which of the regions, the best first, are not nearly the same as a better one."""
    gone = np.zeros(len(parents), np.bool_)
    chosen = np.zeros(len(order), np.bool_)
    for k in range(len(order)):
        i = order[k]
        if gone[i]:
            continue
        chosen[k] = True
        other = parents[i]
        while other >= 0 and size[i] > SAME * size[other]:
            gone[other] = True
            other = parents[other]
        other = i
        while halves[other, 0] >= 0:
            a, b = halves[other, 0], halves[other, 1]
            other = a if size[a] >= size[b] else b
            if size[other] <= SAME * size[i]:
                break
            gone[other] = True
    return chosen


@numba.njit(cache=True, nogil=True)
def _places(parents: Any, halves: Any, basins: Any) -> Any:
    """An order of the basins in which those of each region follow one another.

    First place of each region, the one after its last, and the place of each sample; -1 where nothing is known.
    """
    counts = np.zeros(len(parents), np.int32)
    for i in range(len(parents)):
        if halves[i, 0] < 0:
            counts[i] = 1
        if parents[i] >= 0:
            counts[parents[i]] += counts[i]
    firsts = np.zeros(len(parents), np.int32)
    free = 0
    for i in range(len(parents) - 1, -1, -1):
        if parents[i] < 0:
            firsts[i] = free
            free += counts[i]
        if halves[i, 0] >= 0:
            firsts[halves[i, 0]] = firsts[i]
            firsts[halves[i, 1]] = firsts[i] + counts[halves[i, 0]]
    places = np.full(basins.size, -1, np.int32)
    for k, basin in enumerate(basins.ravel()):
        if basin >= 0:
            places[k] = firsts[basin]
    return firsts, firsts + counts, places.reshape(basins.shape)


@numba.njit(cache=True, nogil=True)
def _mask(places: Any, first: int, last: int, holes: float) -> Any:
    """Where places are in a range, and the holes in there of fewer samples than `holes`, where something is known."""
    depth, height, width = places.shape
    flat = places.ravel()
    state = np.zeros(flat.size, np.uint8)  # 1 inside, 2 looked at, 0 not yet
    for k in range(flat.size):
        if first <= flat[k] < last:
            state[k] = 1
    stack = np.empty(flat.size, np.int32)
    for k in range(flat.size):
        if state[k] != 0:
            continue
        state[k], stack[0], end, seen, hole = 2, k, 1, 0, True
        while seen < end:
            here = stack[seen]
            seen += 1
            z, y, x = here // (height * width), here // width % height, here % width
            if y in (0, height - 1) or x in (0, width - 1) or (depth > 1 and z in (0, depth - 1)):
                hole = False
            for there, inside in (
                (here - 1, x > 0),
                (here + 1, x < width - 1),
                (here - width, y > 0),
                (here + width, y < height - 1),
                (here - height * width, z > 0),
                (here + height * width, z < depth - 1),
            ):
                if inside and state[there] == 0:
                    state[there], stack[end] = 2, there
                    end += 1
        if hole and end < holes:
            for i in range(end):
                if flat[stack[i]] >= 0:
                    state[stack[i]] = 1
    return (state == 1).reshape(places.shape)
