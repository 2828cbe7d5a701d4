"""Matching of objects, and the scores of a matching."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (0.5, 0.75)
"""An object counts as found if its IoU is above; from one half on no object can be found twice."""

_FEW = 20
"""Up to so many objects are listed one by one."""

Match = Literal["auto", "id", "overlap"]


class Layer(Protocol):
    """Objects that can be laid over those of another layer of the same kind."""

    @property
    def ids(self) -> Sequence[int]: ...

    @property
    def sizes(self) -> NDArray[np.float64]:
        """``(n,)``: number of samples or area of each object; none is empty."""
        ...

    def neighbours(self, other: Self) -> NDArray[np.intp]:
        """``(k, 2)``: positions of objects here and there whose bounding boxes meet."""
        ...

    def shared(self, i: int, other: Self, j: int) -> float:
        """The size of what object `i` here and object `j` there have in common."""
        ...

    def boundary_iou(self, i: int, other: Self, j: int) -> float:
        """IoU of the two objects' rims; the other one, the truth, says how wide a rim is."""
        ...


@dataclass(frozen=True)
class Pair:
    """An object of the result and the one of the truth that it stands for; None where there is no such."""

    result: int | None
    truth: int | None
    iou: float = 0.0
    dice: float = 0.0
    boundary_iou: float = 0.0


@dataclass(frozen=True)
class Detection:
    """How many objects were found, and how well (Kirillov et al. 2019)."""

    threshold: float
    """An IoU above it makes a true positive."""
    precision: float
    recall: float
    f1: float
    """Also called recognition quality, RQ."""
    sq: float
    """Segmentation quality: mean IoU of the true positives."""
    pq: float
    """Panoptic quality, SQ × RQ."""


@dataclass(frozen=True)
class Comparison:
    """Scores of a result; values that are undefined, like the recall without any true object, are NaN."""

    matched_by: Literal["id", "overlap"]
    pairs: tuple[Pair, ...]
    """By id of the truth, then objects of the result without one."""
    iou: float
    """Mean over the true objects; one that was not found counts as 0."""
    dice: float
    boundary_iou: float
    detections: tuple[Detection, ...]
    """One for each of `THRESHOLDS`."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes None."""
        return {k: _plain(v) for k, v in asdict(self).items()}

    def to_text(self) -> str:
        """A few lines for people."""
        results = sum(pair.result is not None for pair in self.pairs)
        truths = sum(pair.truth is not None for pair in self.pairs)
        lines = [
            f"{results} objects against {truths} true ones, matched by {self.matched_by}",
            f"mean       IoU {self.iou:.4f}   Dice {self.dice:.4f}   boundary IoU {self.boundary_iou:.4f}",
        ]
        lines += [
            f"IoU > {d.threshold:.2f} precision {d.precision:.4f}   recall {d.recall:.4f}   F1 {d.f1:.4f}"
            f"   SQ {d.sq:.4f}   PQ {d.pq:.4f}"
            for d in self.detections
        ]
        shown = self.pairs if len(self.pairs) <= _FEW else ()
        return "\n".join([*lines, *map(_line, shown)])


def _line(pair: Pair) -> str:
    if pair.truth is None:
        return f"object {pair.result} has no true one"
    if pair.result is None:
        return f"true object {pair.truth} was not found"
    named = f"object {pair.truth}" if pair.result == pair.truth else f"object {pair.result} for {pair.truth}"
    return f"{named}: IoU {pair.iou:.4f}   Dice {pair.dice:.4f}   boundary IoU {pair.boundary_iou:.4f}"


L = TypeVar("L", bound=Layer)


def score(result: L, truth: L, match: Match = "auto") -> Comparison:
    """Compare the objects of two layers.

    Parameters
    ----------
    result, truth : Layer
        Of the same kind.
    match : str
        ``id``: objects with the same id belong together. ``overlap``: those with the largest IoU do, one to one.
        ``auto``: by id if one side knows all ids of the other and most objects with the same id overlap.
    """
    found = _overlapping(result, truth)
    same = [(i, j, iou) for i, j, iou in found if result.ids[i] == truth.ids[j]]
    by_id = match == "id" or (match == "auto" and _ids_agree(set(result.ids), set(truth.ids), len(same)))
    pairs = [
        Pair(result.ids[i], truth.ids[j], iou, 2 * iou / (1 + iou), result.boundary_iou(i, truth, j))
        for i, j, iou in (same if by_id else _one_to_one(found))
    ]
    extra, missed = set(result.ids) - {p.result for p in pairs}, set(truth.ids) - {p.truth for p in pairs}
    pairs += [Pair(n if by_id and n in extra else None, n) for n in missed]
    pairs.sort(key=lambda pair: pair.truth or 0)
    astray = sorted(extra - missed if by_id else extra)
    counts = len(result.ids), len(truth.ids)
    return Comparison(
        "id" if by_id else "overlap",
        (*pairs, *(Pair(n, None) for n in astray)),
        iou=_ratio(sum(p.iou for p in pairs), counts[1]),
        dice=_ratio(sum(p.dice for p in pairs), counts[1]),
        boundary_iou=_ratio(sum(p.boundary_iou for p in pairs), counts[1]),
        detections=tuple(_detection([p.iou for p in pairs], *counts, threshold) for threshold in THRESHOLDS),
    )


def _overlapping(result: L, truth: L) -> list[tuple[int, int, float]]:
    """Positions of objects that have something in common, and their IoU."""
    found = []
    for i, j in result.neighbours(truth).tolist():
        shared = result.shared(i, truth, j)
        if shared > 0:
            found.append((i, j, shared / (float(result.sizes[i]) + float(truth.sizes[j]) - shared)))
    return found


def _ids_agree(result: set[int], truth: set[int], overlapping: int) -> bool:
    return (result <= truth or truth <= result) and 2 * overlapping > len(result & truth)


def _one_to_one(found: list[tuple[int, int, float]]) -> Iterator[tuple[int, int, float]]:
    """The best pair first, then the best of what is left: above an IoU of 0.5 nothing else is possible."""
    results: set[int] = set()
    truths: set[int] = set()
    for i, j, iou in sorted(found, key=lambda f: (-f[2], f[1], f[0])):
        if i not in results and j not in truths:
            results.add(i)
            truths.add(j)
            yield i, j, iou


def _detection(ious: Sequence[float], results: int, truths: int, threshold: float) -> Detection:
    hits = [iou for iou in ious if iou > threshold]
    f1 = _ratio(2 * len(hits), results + truths)
    sq = _ratio(sum(hits), len(hits))
    return Detection(
        threshold,
        precision=_ratio(len(hits), results),
        recall=_ratio(len(hits), truths),
        f1=f1,
        sq=sq,
        pq=_ratio(2 * sum(hits), results + truths),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
