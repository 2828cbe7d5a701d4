"""Closed contours around a click, in log-polar coordinates: one radius per ray, found by dynamic programming."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from promptile.models.basin.plane.colours import Palette, lab
from promptile.models.basin.plane.features import BLUR, COLOURS
from promptile.models.basin.plane.frame import Frame
from promptile.models.basin.plane.resampling import BELL, blurred
from promptile.models.basin.plane.sight import Sight

RAYS = 64
STEPS = 60
NEAREST, GROWTH = 2.0, 1.09
"""Radii in samples: 2 × 1.09 ** k, to 323."""
STARTS = np.linspace(3, 55, 20)
"""Steps at which searches start: the scales of objects."""
STEEPEST = 3
"""Steps by which neighbouring rays may differ."""
BEND = 0.06
"""Cost of a squared step between neighbouring rays, in units of one perfect edge."""
USUAL = 6.0
"""Rays and steps: an edge is strong compared with what lies this near."""
RING = 6
"""Steps outside of a contour that tell the colours around it."""
CLICK_COST = 2.0
"""Of a contour on the wrong side of a click, on its ray and the two beside it, in perfect edges."""
PRECISION = 3.0
"""Cells of a frame."""
COLOUR_PULL = 0.2
"""Weight of the colours against the edge."""
SCALE_PULL = 0.004
"""Cost of a squared step away from the scale of a search."""


@dataclass(frozen=True, eq=False)
class Polar:
    """What lies around a click."""

    centre: NDArray[np.float64]
    colours: NDArray[np.float32]
    """``(c, RAYS, STEPS)``"""
    known: NDArray[np.bool_]
    """``(RAYS, STEPS)``"""
    palette: Palette
    edges: NDArray[np.float32]
    """``(RAYS, STEPS)``: 0 to 1, how much looks like an edge that turns about the click, between k and k + 1."""

    @cached_property
    def gathered(self) -> NDArray[np.float64]:
        """``(RAYS, STEPS, COLOURS)``: how much of each colour lies on a ray up to a step."""
        amount = np.zeros((RAYS * STEPS, COLOURS))
        amount[np.arange(RAYS * STEPS), self.palette.index] = (self.known * areas()).ravel()
        return np.cumsum(amount.reshape(RAYS, STEPS, COLOURS), axis=1)


def radii() -> NDArray[np.float64]:
    """``(STEPS,)``: in samples."""
    lengths: NDArray[np.float64] = NEAREST * np.power(GROWTH, np.arange(STEPS))
    return lengths


def areas() -> NDArray[np.float32]:
    """``(STEPS,)``: size of a polar cell, but for a factor."""
    return (radii() ** 2).astype(np.float32)


def unroll(sight: Sight, centre: NDArray[np.float64]) -> Polar:
    """The surroundings of a click, each radius read from the pyramid level that fits its spacing."""
    r = radii()
    ways = _directions()
    level = np.clip(np.floor(np.log2(np.maximum(r * 2 * np.pi / RAYS, 1))), 0, None).astype(int)
    parts = [
        sight.sample(
            int(k),
            centre[0] + ways[:, :1] * r[level == k],
            centre[1] + ways[:, 1:] * r[level == k],
        )
        for k in np.unique(level)
    ]
    cells = np.concatenate(parts, axis=2)
    colours = lab(cells[:-1])
    known = cells[-1] > 0.5
    return Polar(centre, colours, known, Palette.of(colours, COLOURS, BLUR), _edges(colours, known))


def _edges(colours: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    padded = np.pad(colours, ((0, 0), (0, 0), (1, 2)), mode="edge")
    pairs = (padded[..., 1:] + padded[..., :-1]) / 2  # pairs[k] is the mean of cells k - 1 and k
    radial = np.linalg.norm(pairs[..., 2:] - pairs[..., :-2], axis=0)
    along = np.linalg.norm(np.roll(colours, 1, axis=1) - np.roll(colours, -1, axis=1), axis=0)
    round_ = round(BELL * USUAL)  # rays go round
    usual = blurred(np.pad(radial, ((round_, round_), (0, 0)), mode="wrap"), USUAL)[round_:-round_]
    edges: NDArray[np.float32] = radial / (radial + along / 2 + usual / 2 + np.float32(0.5))
    return edges * known


def search(polar: Polar, clicks: NDArray[np.float32]) -> NDArray[np.int64]:
    """``(n, RAYS)``: the step of the contour on each ray, one contour for each of `STARTS`.

    `clicks` ``(RAYS, STEPS)`` is what further clicks say against a contour there, see `against`.
    """
    step = np.arange(STEPS)
    paths = np.repeat(np.rint(STARTS).astype(np.int64)[:, None], RAYS, axis=1)
    far = SCALE_PULL * (step - STARTS[:, None, None]) ** 2
    for _ in range(2):
        gains = polar.edges + COLOUR_PULL * _region(polar, paths) - far - clicks
        paths = np.stack([trace(gain, STEEPEST, BEND) for gain in gains.astype(np.float32)])
    return paths


def against(polar: Polar, points: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``(RAYS, STEPS)``: how much points speak against a contour there.

    It is to go round those on the object, and to leave out those off it, with all that lies behind them.
    """
    cost = np.zeros((RAYS, STEPS), np.float32)
    steps = np.arange(STEPS)
    for point, label in zip(points, labels, strict=True):
        off = point - polar.centre
        ray = round(float(np.arctan2(off[0], off[1])) * RAYS / (2 * np.pi))
        step = np.log(max(float(np.hypot(*off)), 1e-6) / NEAREST) / np.log(GROWTH) - 0.5
        for beside in (-1, 0, 1):
            cost[(ray + beside) % RAYS] += np.float32(CLICK_COST) * (steps < step if label else steps > step)
    return cost


def bounds(polar: Polar, path: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(2, 2)``: the box around a contour, in samples."""
    places = polar.centre + _directions() * _edge_radius(path)[:, None]
    return np.stack([places.min(axis=0), places.max(axis=0)])


def fill(polar: Polar, path: NDArray[np.int64], frame: Frame) -> NDArray[np.float32]:
    """``frame.shape``: which cells a contour holds; a cell on it partly."""
    y, x = (frame.centres(a) - polar.centre[a] for a in (0, 1))
    turn = np.arctan2(y[:, None], x[None]) % (2 * np.pi) * (RAYS / (2 * np.pi))
    ray = turn.astype(int) % RAYS
    part = turn - np.floor(turn)
    radius = _edge_radius(path)
    limit = radius[ray] * (1 - part) + radius[(ray + 1) % RAYS] * part
    depth = (limit - np.hypot(y[:, None], x[None])) / np.sqrt(frame.cell.prod())
    part_inside: NDArray[np.float64] = np.clip(depth + 0.5, 0, 1)
    return part_inside.astype(np.float32)


def soften(inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a contour says of the cells around it: it is right to a few cells."""
    return blurred(inside, PRECISION)


def _edge_radius(path: NDArray[np.int64]) -> NDArray[np.float64]:
    """An edge between steps k and k + 1 lies half way."""
    lengths: NDArray[np.float64] = NEAREST * np.power(GROWTH, path + 0.5)
    return lengths


def _directions() -> NDArray[np.float64]:
    """``(RAYS, 2)``: unit vectors (y, x)."""
    angle = np.arange(RAYS) * (2 * np.pi / RAYS)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _region(polar: Polar, paths: NDArray[np.int64]) -> NDArray[np.float32]:
    """``(n, RAYS, STEPS)``: how well colours up to each step are those inside of each path, and not those around."""
    within, around = histograms(polar, paths)
    log = np.clip(np.log((within + 1e-3) / (around + 1e-3)), -2, 2).astype(np.float32)
    ratio = log[:, polar.palette.index].reshape(-1, RAYS, STEPS)
    area = areas()
    gathered = np.cumsum(ratio * area, axis=2)
    here = np.take_along_axis(gathered, paths[..., None], axis=2)
    size = area[paths][..., None]
    pull: NDArray[np.float32] = np.tanh((gathered - here) / (4 * size))
    return pull


def histograms(polar: Polar, paths: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(n, COLOURS)``: shares of the palette's colours inside of each contour, and in the ring around it."""
    ray = np.arange(RAYS)
    inside = polar.gathered[ray, paths].sum(axis=1)
    ring = polar.gathered[ray, np.minimum(paths + RING, STEPS - 1)].sum(axis=1) - inside
    return polar.palette.smoothed(inside), polar.palette.smoothed(ring)


@numba.njit(cache=True, nogil=True)
def trace(gain: Any, steepest: int, bend: float) -> Any:
    """``(rays,)``: the closed path with the largest sum of gain less `bend` times squared steps.

    Rays are gone round twice; the middle of that path closes.
    """
    rays, steps = gain.shape
    total = np.zeros((2 * rays, steps), np.float32)
    back = np.zeros((2 * rays, steps), np.int32)
    total[0] = gain[0]
    for i in range(1, 2 * rays):
        total[i] = np.float32(-1e30)
        for d in range(-steepest, steepest + 1):
            _step(total[i - 1], total[i], back[i], d, np.float32(bend * d * d))
        total[i] += gain[i % rays]
    path = np.zeros(rays, np.int64)
    here = np.argmax(total[2 * rays - 1])
    for i in range(2 * rays - 1, rays // 2 - 1, -1):
        if i < rays // 2 + rays:
            path[i % rays] = here
        here += back[i, here]
    return path


@numba.njit(cache=True, nogil=True)
def _step(before: Any, best: Any, choice: Any, d: int, cost: Any) -> None:
    """Where it is better to come from `d` steps farther out; all steps at once."""
    first, last = max(0, -d), len(best) - max(0, d)
    source, best, choice = before[first + d : last + d], best[first:last], choice[first:last]
    for k in range(len(best)):
        value = source[k] - cost
        better = value > best[k]
        best[k] = value if better else best[k]
        choice[k] = np.int32(d) if better else choice[k]
