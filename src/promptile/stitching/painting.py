"""Labels of any window, pulled from the tiles around it: each object from the tile that saw it best."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.grid import Tile, Window
from promptile.stitching.numbering import PAINTS_ALL, PAINTS_CORE, PAINTS_NOTHING, Roles
from promptile.stitching.summary import solid

_UNCLAIMED = np.iinfo(np.uint32).max
_BEYOND = np.uint32(1 << 30)
"""Added to the rank where a tile paints what the owner of the ground has missed."""

_FILL = np.uint32(1 << 31)
"""Added to the rank where a tile fills what authors have left between them."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a tile says about a window."""

    tile: Tile
    window: Window
    """Within ``tile.outer``."""
    labels: NDArray[np.uint16]
    """``(layers, *window.shape)``: local ids."""
    roles: Roles
    """Of the tile's local ids."""


@dataclass(frozen=True, eq=False)
class Painted:
    """The final labels of a block, and what they add to the objects in it."""

    labels: NDArray[np.uint32]
    """``(layers, *block.shape)``: global ids."""
    ids: NDArray[np.uint32]
    """``(m,)``: the global ids in the block, rising."""
    counts: NDArray[np.int64]
    """``(m,)``: samples in the block."""
    boxes: NDArray[np.int32]
    """``(m, 2, ndim)``: first sample and the one after the last, in index coordinates of the level."""
    firsts: NDArray[np.int64]
    """``(m,)``: smallest row-major position of a sample in the whole level."""


def paint(block: Window, seen: Iterable[Seen], layers: int, shape: tuple[int, ...]) -> Painted:
    """The final labels of a block: any window, in any order of tiles.

    A sample has the object with the first of these claims to it; within each, the smaller rank wins:

    1. of its author, or in an object that no tile saw whole of the tile in whose core it lies;
    2. of any tile that sees such an object, where the tile in whose core it lies has missed all of the object;
    3. of the tile in whose core it lies, where all tiles see objects but each the other's: authors disagree about
       their common border, and leave a gap between them.

    Parameters
    ----------
    block : Window
    seen : iterable of Seen
        All tiles whose outer windows meet the block, one after the other; what lies outside the block is not looked at.
    layers : int
        How many layers there are.
    shape : tuple of int
        Of the whole level.
    """
    views = list(seen)
    labels = np.zeros((layers, *solid(block.shape, 1)), np.uint32)
    claims = np.full(labels.shape, _UNCLAIMED, np.uint32)
    empty = np.zeros(labels.shape, np.bool_)
    for ground in _grounds(block, [each.tile.core for each in views]):
        owner = next((each for each in views if ground in each.tile.core), None)
        for each in views:
            common = ground & each.window
            if not common.empty:
                here = (slice(None), *_cut(common.within(block)))
                there = (slice(None), *_cut(common.within(each.window)))
                own = each.labels.reshape(layers, *solid(each.window.shape, 1))[there]
                _claim(own, each.roles.ids, _strengths(each, owner), labels[here], claims[here], empty[here])
    labels[(claims >= _FILL) & empty] = 0
    return counted(labels.reshape(layers, *block.shape), block, shape)


def counted(labels: NDArray[np.uint32], block: Window, shape: tuple[int, ...]) -> Painted:
    """Labels ``(layers, *block.shape)`` of a block, with what they add to the objects in it."""
    return Painted(labels, *_count(labels.reshape(len(labels), *solid(block.shape, 1)), block, shape))


def _cut(window: Window) -> tuple[slice, ...]:
    return Window(solid(window.start, 0), solid(window.shape, 1)).slices


def _count(labels: NDArray[np.uint32], block: Window, shape: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
    """Ids, counts, boxes, firsts of `Painted`."""
    runs = np.empty((_count_runs(labels), 5), np.int64)
    _fill_runs(labels, runs)
    ids, rows = np.unique(runs[:, 0], return_inverse=True)
    low, high = np.full((len(ids), 3), np.iinfo(np.int32).max, np.int32), np.zeros((len(ids), 3), np.int32)
    counts, firsts = np.zeros(len(ids), np.int64), np.full(len(ids), np.iinfo(np.int64).max)
    geometry = np.array([solid(block.start, 0), solid(shape, 1)])
    _sum_runs(runs, rows, geometry, counts, firsts, low, high)
    boxes = np.stack([low, high], axis=1)[:, :, 3 - block.ndim :] + np.asarray(block.start, np.int32)
    return ids.astype(np.uint32), counts, boxes, firsts


def _grounds(block: Window, cores: list[Window]) -> Iterator[Window]:
    """The parts of a block that lie in one core each, or in none."""
    axes = []
    for axis, (start, stop) in enumerate(zip(block.start, block.stop, strict=True)):
        cuts = {at for core in cores for at in (core.start[axis], core.stop[axis]) if start < at < stop}
        axes.append(list(itertools.pairwise(sorted({start, stop} | cuts))))
    for ends in itertools.product(*axes):
        yield Window.between(*zip(*ends, strict=True))


def _strengths(seen: Seen, owner: Seen | None) -> NDArray[np.uint32]:
    """What a tile's claims are worth on the core of `owner`, per local id: the smaller the stronger."""
    roles = seen.roles
    strengths = np.full(len(roles.ids), _UNCLAIMED, np.uint32)
    paints_all, cut = roles.reach == PAINTS_ALL, np.flatnonzero(roles.reach == PAINTS_CORE)
    strengths[paints_all] = roles.ranks[paints_all]
    if owner is seen:
        strengths[cut] = roles.ranks[cut]
        known = (roles.reach == PAINTS_NOTHING) & (roles.ids > 0)
        strengths[known] = roles.ranks[known] + _FILL
    elif len(cut):
        missed = cut if owner is None else cut[~np.isin(roles.ids[cut], owner.roles.ids)]
        strengths[missed] = roles.ranks[missed] + _BEYOND
    return strengths


@njit(cache=True, nogil=True)
def _claim(own: Any, ids: Any, strengths: Any, labels: Any, claims: Any, empty: Any) -> None:
    """Paint what one tile sees wherever nobody has a stronger claim."""
    nl, nz, ny, nx = own.shape
    for row in range(nl * nz * ny):
        k, z, y = row // ny // nz, row // ny % nz, row % ny
        for x in range(nx):
            local = own[k, z, y, x]
            if local == 0:
                empty[k, z, y, x] = True
            elif strengths[local] < claims[k, z, y, x]:
                claims[k, z, y, x] = strengths[local]
                labels[k, z, y, x] = ids[local]


@njit(cache=True, nogil=True)
def _count_runs(labels: Any) -> int:
    nl, nz, ny, nx = labels.shape
    count = 0
    for row in range(nl * nz * ny):
        line = labels[row // ny // nz, row // ny % nz, row % ny]
        before = 0
        for x in range(nx):
            value = line[x]
            if value != before:
                before = value
                if value != 0:
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _fill_runs(labels: Any, runs: Any) -> None:
    """Rows of `runs`: id, z, y, first x, x after the last."""
    nl, nz, ny, nx = labels.shape
    i = 0
    for row in range(nl * nz * ny):
        line = labels[row // ny // nz, row // ny % nz, row % ny]
        x = 0
        while x < nx:
            value = line[x]
            begin = x
            x += 1
            while x < nx and line[x] == value:
                x += 1
            if value != 0:
                runs[i, 0], runs[i, 1], runs[i, 2] = value, row // ny % nz, row % ny
                runs[i, 3], runs[i, 4] = begin, x
                i += 1


@njit(cache=True, nogil=True)
def _sum_runs(runs: Any, rows: Any, geometry: Any, counts: Any, firsts: Any, low: Any, high: Any) -> None:
    """Add runs to their objects; `geometry`: the block's start, the level's shape."""
    for k in range(len(runs)):
        i, z, y, begin, stop = rows[k], runs[k, 1], runs[k, 2], runs[k, 3], runs[k, 4]
        counts[i] += stop - begin
        first = ((z + geometry[0, 0]) * geometry[1, 1] + y + geometry[0, 1]) * geometry[1, 2] + begin + geometry[0, 2]
        firsts[i] = min(firsts[i], first)
        low[i, 0], high[i, 0] = min(low[i, 0], z), max(high[i, 0], z + 1)
        low[i, 1], high[i, 1] = min(low[i, 1], y), max(high[i, 1], y + 1)
        low[i, 2], high[i, 2] = min(low[i, 2], begin), max(high[i, 2], stop)
