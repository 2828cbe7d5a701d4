"""What the slices of a DICOM series must fulfil to be a volume; findings are named with their numbers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.counts import counted
from promptile.errors import IrregularError, SourceError
from promptile.grid import Grid
from promptile.sources.dicom_resampled import Plan
from promptile.sources.itk import lps_grid

_SAME_DIRECTION = 1e-3
_SAME_PLACE = 0.01  # of the usual step
_OFF_PLACE = 0.1  # of a step: how far a slice may lie from where a regular grid has it
_CURE = "Open it with --resample, which interpolates even slices, or convert it with `dcm2niix`"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One file of a series, from its header."""

    path: Path
    uid: str
    """SOP Instance UID; may be empty."""
    series: str
    """Series Instance UID; may be empty."""
    described: str
    modality: str
    number: int
    """Instance number."""
    size: tuple[int, ...]
    """``(x, y, z)``; z is above 1 in files with several frames."""
    steps: NDArray[np.float64]
    """``(3, 3)``: columns are the steps along x, y, z in LPS millimetres."""
    origin: NDArray[np.float64]
    """``(3,)``"""
    placed: bool
    """Whether the file says where it lies."""
    channels: tuple[str, ...]
    dtype: np.dtype[Any]
    frame: int | None = None
    """Which frame of the file it is; None for a file that is one slice."""
    rescale: tuple[float, float] | None = None
    """Slope and intercept of a frame; files that are one slice are rescaled by ITK."""

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slice."""
        normal = np.cross(self.steps[:, 0], self.steps[:, 1])
        unit: NDArray[np.float64] = normal / np.linalg.norm(normal)
        return unit


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order, per time point.

    Parameters
    ----------
    points : list of list of Slice
    grid : Grid
        Of the image.
    plan : Plan, optional
        How they are to be interpolated, if they do not form the grid themselves.
    finding : str
        Why they do not.
    """

    points: list[list[Slice]]
    grid: Grid
    plan: Plan | None = None
    finding: str = ""


def stack(name: str, slices: Sequence[Slice], *, resample: bool = False) -> Stack:
    """The slices in order and their common grid; with `resample`, also of slices that do not form one.

    Raises
    ------
    SourceError
        Names what keeps them from being a volume: mixed sizes or orientations, duplicates, missing slices,
        uneven distances, a tilted gantry.
    """
    first = slices[0]
    if len(slices) == 1:
        return Stack([[first]], lps_grid(first.size, first.steps, first.origin))
    _same_kind(name, slices)
    heights = np.array([s.origin @ first.normal for s in slices])
    order = np.argsort(heights, kind="stable")
    ordered = [slices[i] for i in order]
    points = _time_points(name, ordered, heights[order])
    places = np.array([s.origin for s in points[0]])
    if len(places) == 1:
        return Stack(points, lps_grid(first.size, points[0][0].steps, places[0]))
    try:
        step = _regular_step(name, points[0], places)
    except IrregularError as error:
        if not resample:
            raise
        plan = Plan.of(first.size, first.steps, places)
        return Stack(points, plan.grid, plan, str(error))
    steps = first.steps.copy()
    steps[:, 2] = step
    return Stack(points, lps_grid((*first.size[:2], len(places)), steps, places[0]))


def _same_kind(name: str, slices: Sequence[Slice]) -> None:
    """Slices of one volume share size, spacing, orientation and channels."""
    frames = [s for s in slices if s.size[2] > 1]
    if frames:
        raise SourceError(
            f"{name} has {len(frames)} files with several frames each: open one of them, e.g. {frames[0].path.name}"
        )
    unplaced = [s for s in slices if not s.placed]
    if unplaced:
        raise SourceError(
            f"{name}: {len(unplaced)} of {len(slices)} slices do not say where they lie ({unplaced[0].path.name}):"
            " open one file alone"
        )
    shapes = {s.size[:2] for s in slices}
    if len(shapes) > 1:
        listed = ", ".join(f"{y} × {x}" for x, y in sorted(shapes))
        raise SourceError(
            f"{name} mixes slices of different sizes ({listed} samples): remove the ones that do not belong"
        )
    if len({s.channels for s in slices}) > 1:
        raise SourceError(f"{name} mixes grey and colour slices: remove the ones that do not belong")
    spacings = np.linalg.norm([s.steps[:, :2] for s in slices], axis=1)
    if not np.allclose(spacings, spacings[0], rtol=1e-3):
        listed = ", ".join(f"{s[1]:g} × {s[0]:g}" for s in np.unique(spacings.round(4), axis=0))
        raise SourceError(f"{name} mixes slices of different spacing ({listed} mm): remove the ones that do not belong")
    axes = [s.steps[:, :2] / np.linalg.norm(s.steps[:, :2], axis=0) for s in slices]
    usual = Counter(tuple(np.round(a, 2).ravel() + 0.0) for a in axes).most_common(1)[0][0]  # + 0.0: -0 is 0
    reference = next(a for a in axes if tuple(np.round(a, 2).ravel() + 0.0) == usual)
    turned = [s for s, a in zip(slices, axes, strict=True) if np.abs(a - reference).max() > _SAME_DIRECTION]
    if turned:
        raise SourceError(
            f"{name} mixes orientations: {len(turned)} of {len(slices)} slices lie differently from the others"
            f" (e.g. {turned[0].path.name}): remove localizers, or pick a series"
        )


def _time_points(name: str, ordered: Sequence[Slice], heights: NDArray[np.float64]) -> list[list[Slice]]:
    """Slices that lie at the same place are time points if every place has as many, else they are duplicates."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps[gaps > 1e-4])) if (gaps > 1e-4).any() else 1.0
    cuts = [0, *(np.flatnonzero(gaps > _SAME_PLACE * usual) + 1), len(ordered)]
    places = [ordered[a:b] for a, b in itertools.pairwise(cuts)]
    twice = [p for p in places if len(p) > 1]
    if not twice:
        return [list(ordered)]
    many = {len(p) for p in places}
    uids = [s.uid for s in ordered if s.uid]
    numbered = all(len({s.number for s in p}) == len(p) for p in places)
    if len(many) > 1 or len(set(uids)) < len(uids) or not numbered:
        pair = ", ".join(s.path.name for s in twice[0][:2])
        raise SourceError(
            f"{name} has duplicate slices: {len(twice)} of {len(places)} places have more than one (e.g. {pair}):"
            " remove one of each"
        )
    placed = [sorted(p, key=lambda s: s.number) for p in places]
    return [[p[t] for p in placed] for t in range(many.pop())]


def _regular_step(name: str, slices: Sequence[Slice], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The step from slice to slice, in millimetres; refuses what no grid can say."""
    normal = slices[0].normal
    heights = (places - places[0]) @ normal
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * usual)
    if wide.size:
        missing = int(np.rint(gaps[wide] / usual - 1).sum())
        a, b = slices[wide[0]], slices[wide[0] + 1]
        raise IrregularError(
            f"{name} misses about {counted(missing, 'slice')}: {gaps[wide[0]]:.2f} mm between {a.path.name}"
            f" and {b.path.name}, where {usual:.2f} mm is usual",
            "Get the whole series, or interpolate with --resample",
        )
    expected = np.linspace(0, heights[-1], len(heights))
    off = np.abs(heights - expected)
    if off.max() > _OFF_PLACE * usual:
        raise IrregularError(
            f"{name} has uneven distances between slices, {gaps.min():.3f} to {gaps.max():.3f} mm:"
            f" {slices[int(off.argmax())].path.name} lies {off.max():.2f} mm off",
            _CURE,
        )
    _upright(name, slices, places, heights)
    # What is left sideways is the rounding of the header: files that hold a direction need it at right angles.
    step: NDArray[np.float64] = normal * heights[-1] / (len(places) - 1)
    return step


def _upright(name: str, slices: Sequence[Slice], places: NDArray[np.float64], heights: NDArray[np.float64]) -> None:
    """Slices must lie above each other: a tilted gantry shifts each against the one before."""
    normal = slices[0].normal
    sideways = places - places[0] - np.outer(heights, normal)
    allowed = _OFF_PLACE * np.linalg.norm(slices[0].steps[:, :2], axis=0).min()
    drift = np.linalg.norm(sideways, axis=1)
    if drift.max() <= allowed:
        return
    line = np.outer(heights / heights[-1], sideways[-1])
    if np.linalg.norm(sideways - line, axis=1).max() <= max(allowed, 0.1 * drift[-1]):
        angle = np.degrees(np.arctan2(drift[-1], heights[-1]))
        raise IrregularError(
            f"{name} was taken with a tilted gantry ({angle:.1f}°): each slice lies"
            f" {drift[-1] / (len(places) - 1):.2f} mm beside the one before",
            _CURE,
        )
    at = int(drift.argmax())
    raise IrregularError(
        f"{name} has slices that are shifted sideways, up to {drift[at]:.2f} mm at {slices[at].path.name}", _CURE
    )
