"""Which objects of two neighbouring tiles are the same: a comparison of what both saw, and of nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.stitching.pieces import Pieces, count_shared, find_pieces, find_runs
from promptile.stitching.summary import solid
from promptile.stitching.types import Index


@dataclass(frozen=True, eq=False)
class Matches:
    """What two tiles say about each other's objects, in local ids."""

    pairs: NDArray[np.int32]
    """``(m, 2)``: ids in a and in b that are the same object."""
    ious: NDArray[np.float32]
    """``(m,)``: intersection over union of their best pieces, above 0.5 up to 1."""
    apart_a: NDArray[np.int32]
    """``(k, 2)``: pairs of ids of a that touch in view of both tiles, so a saw that they are two objects."""
    apart_b: NDArray[np.int32]
    """``(l, 2)``: the same for b."""


def neighbours(counts: tuple[int, ...]) -> Iterator[tuple[Index, Index]]:
    """All pairs of tiles that share a face, an edge or a corner, the smaller index first.

    Faces alone are enough for a model that does not err. Where both tiles beside a corner miss an object, the two
    across the corner may still know it.
    """
    steps = [step for step in itertools.product((-1, 0, 1), repeat=len(counts)) if step > (0,) * len(counts)]
    for index in itertools.product(*map(range, counts)):
        for step in steps:
            other = tuple(i + d for i, d in zip(index, step, strict=True))
            if all(0 <= i < n for i, n in zip(other, counts, strict=True)):
                yield index, other


def match(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> Matches:
    """Compare what two tiles say about the box that both outer windows saw.

    Labels are split into pieces that are connected (8 / 26 neighbours) within the box. Two pieces with an IoU above 0.5
    make a match of their labels: above one half, a piece has at most one partner.

    Parameters
    ----------
    a, b : array, (layers, *shape)
        Both tiles' labels, cut to ``a_tile.outer & b_tile.outer``.
    """
    found = [
        _match_layer(x.reshape(solid(x.shape, 1)), y.reshape(solid(y.shape, 1))) for x, y in zip(a, b, strict=True)
    ]
    return Matches(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _match_layer(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    runs_a, runs_b = find_runs(a), find_runs(b)
    pieces_a, pieces_b = find_pieces(runs_a), find_pieces(runs_b)
    shared = count_shared(runs_a, runs_b, pieces_a.of_runs, pieces_b.of_runs)
    pairs, ious = _matches(shared, pieces_a, pieces_b)
    return pairs, ious, pieces_a.touching, pieces_b.touching


def _matches(shared: NDArray[np.int64], a: Pieces, b: Pieces) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The pairs of labels with matching pieces, sorted, each with its best IoU."""
    i, j, samples = shared.T
    unions = a.counts[i] + b.counts[j] - samples
    same = 2 * samples > unions
    ious = (samples[same] / unions[same]).astype(np.float32)
    labels = np.stack([a.labels[i[same]], b.labels[j[same]]], axis=1)
    pairs, rows = np.unique(labels, axis=0, return_inverse=True)
    best = np.zeros(len(pairs), np.float32)
    np.maximum.at(best, rows.reshape(-1), ious)
    return pairs.astype(np.int32), best
