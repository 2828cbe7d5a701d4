"""Matching of objects, and the scores of a matching."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from promptile.counts import counted

THRESHOLDS = (0.5, 0.75)
"""An object counts as found if its IoU is above; from one half on no object can be found twice."""

_FEW = 20
"""Up to so many objects are listed one by one."""

Match = Literal["auto", "id", "name", "overlap"]


class Layer(Protocol):
    """Objects that can be laid over those of another layer of the same kind."""

    @property
    def ids(self) -> Sequence[int]: ...

    @property
    def names(self) -> Mapping[int, str]:
        """What objects are called, by id; empty if nobody says."""
        ...

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
class Solid:
    """How an object of a medical volume differs from the true one."""

    surface_dice: float
    """The share of both surfaces within the tolerance of the other one; 0 if one of them is not there."""
    hd95_mm: float
    """The distance within which 95 % of each surface lies of the other one; NaN if one of them is not there."""
    volume_difference_ml: float
    """Result less truth."""
    volume_difference_percent: float
    """Of the true volume; NaN without one."""


@dataclass(frozen=True)
class Solids:
    """Means over the true objects; differences of volume without their signs, distances where both are there."""

    tolerance_mm: float
    surface_dice: float
    hd95_mm: float
    volume_difference_ml: float
    volume_difference_percent: float


@dataclass(frozen=True)
class Pair:
    """An object of the result and the one of the truth that it stands for; None where there is no such."""

    result: int | None
    truth: int | None
    iou: float = 0.0
    dice: float = 0.0
    boundary_iou: float = 0.0
    name: str = ""
    """What the truth, or the result where there is none, calls it."""
    solid: Solid | None = None
    """In medical volumes."""


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

    matched_by: Literal["id", "name", "overlap"]
    pairs: tuple[Pair, ...]
    """By id of the truth, then objects of the result without one."""
    iou: float
    """Mean over the true objects; one that was not found counts as 0."""
    dice: float
    boundary_iou: float
    detections: tuple[Detection, ...]
    """One for each of `THRESHOLDS`."""
    solids: Solids | None = None
    """In medical volumes."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes None."""
        return {k: _plain(v) for k, v in asdict(self).items()}

    def to_text(self) -> str:
        """A few lines for people."""
        results = sum(pair.result is not None for pair in self.pairs)
        truths = sum(pair.truth is not None for pair in self.pairs)
        lines = [
            f"{counted(results, 'object')} against {counted(truths, 'true one')}, matched by {self.matched_by}",
            f"mean       IoU {self.iou:.4f}   Dice {self.dice:.4f}   boundary IoU {self.boundary_iou:.4f}",
        ]
        if self.solids is not None:
            s = self.solids
            lines.append(
                f"mean       surface Dice {s.surface_dice:.4f} at {s.tolerance_mm:g} mm   HD95 {s.hd95_mm:.3f} mm"
                f"   volume off by {s.volume_difference_ml:.4g} ml, {s.volume_difference_percent:.1f} %"
            )
        lines += [
            f"IoU > {d.threshold:.2f} precision {d.precision:.4f}   recall {d.recall:.4f}   F1 {d.f1:.4f}"
            f"   SQ {d.sq:.4f}   PQ {d.pq:.4f}"
            for d in self.detections
        ]
        shown = self.pairs if len(self.pairs) <= _FEW else ()
        return "\n".join([*lines, *map(_line, shown)])


def _line(pair: Pair) -> str:
    called = f" ({pair.name})" if pair.name else ""
    if pair.truth is None:
        return f"object {pair.result}{called} has no true one"
    if pair.result is None:
        return f"true object {pair.truth}{called} was not found"
    named = f"object {pair.truth}" if pair.result == pair.truth else f"object {pair.result} for {pair.truth}"
    line = f"{named}{called}: IoU {pair.iou:.4f}   Dice {pair.dice:.4f}   boundary IoU {pair.boundary_iou:.4f}"
    if pair.solid is None:
        return line
    s = pair.solid
    return (
        f"{line}   surface Dice {s.surface_dice:.4f}   HD95 {s.hd95_mm:.3f} mm   volume"
        f" {s.volume_difference_ml:+.4g} ml, {s.volume_difference_percent:+.1f} %"
    )


L = TypeVar("L", bound=Layer)


def score(result: L, truth: L, match: Match = "auto") -> Comparison:
    """Compare the objects of two layers.

    Parameters
    ----------
    result, truth : Layer
        Of the same kind.
    match : str
        ``id``: objects with the same id belong together. ``name``: those with the same name. ``overlap``: those with
        the largest IoU do, one to one. ``auto``: by id if one side knows all ids of the other and most objects with
        the same id overlap; else by name if each object of both has one of its own and they share some.
    """
    found = _overlapping(result, truth)
    same = [(i, j, iou) for i, j, iou in found if result.ids[i] == truth.ids[j]]
    by: Literal["id", "name", "overlap"] = "overlap" if match == "auto" else match
    if match == "auto" and _ids_agree(set(result.ids), set(truth.ids), len(same)):
        by = "id"
    elif match == "auto" and _names_agree(result, truth):
        by = "name"
    if by == "name":
        same = [(i, j, v) for i, j, v in found if _name(result, result.ids[i]) == _name(truth, truth.ids[j]) != ""]
    pairs = [
        Pair(result.ids[i], truth.ids[j], iou, 2 * iou / (1 + iou), result.boundary_iou(i, truth, j))
        for i, j, iou in (_one_to_one(found) if by == "overlap" else same)
    ]
    pairs = _with_the_lonely(pairs, result, truth, by)
    ious = [p.iou for p in pairs if p.result is not None and p.truth is not None and p.iou > 0]
    counts = len(result.ids), len(truth.ids)
    return Comparison(
        by,
        tuple(pairs),
        iou=_ratio(sum(p.iou for p in pairs), counts[1]),
        dice=_ratio(sum(p.dice for p in pairs), counts[1]),
        boundary_iou=_ratio(sum(p.boundary_iou for p in pairs), counts[1]),
        detections=tuple(_detection(ious, *counts, threshold) for threshold in THRESHOLDS),
    )


def _with_the_lonely(pairs: list[Pair], result: Layer, truth: Layer, by: str) -> list[Pair]:
    """All pairs by id of the truth, with objects that overlap no partner, then those of the result without one."""
    extra, missed = set(result.ids) - {p.result for p in pairs}, set(truth.ids) - {p.truth for p in pairs}
    keys = {n: n if by == "id" else _name(result, n) for n in sorted(extra)} if by != "overlap" else {}
    partners = {key: n for n, key in keys.items() if key != ""}
    partner = {n: partners.get(n if by == "id" else _name(truth, n)) for n in missed}
    pairs = [*pairs, *(Pair(partner[n], n) for n in missed)]
    pairs.sort(key=lambda pair: pair.truth or 0)
    astray = sorted(extra - set(partner.values()))
    named = [replace(pair, name=_name(truth, pair.truth) or _name(result, pair.result)) for pair in pairs]
    return [*named, *(Pair(n, None, name=_name(result, n)) for n in astray)]


def _name(layer: Layer, number: int | None) -> str:
    return "" if number is None else layer.names.get(number, "")


def _names_agree(result: Layer, truth: Layer) -> bool:
    """Whether each object of both sides has a name of its own, and they share some."""
    names = [[_name(layer, number) for number in layer.ids] for layer in (result, truth)]
    return all(all(ns) and len(set(ns)) == len(ns) for ns in names) and not set(names[0]).isdisjoint(names[1])


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
