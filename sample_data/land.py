"""The lie of the land in the sample scene: every shape as a polygon in ``(x, y)`` pixels from the top left corner."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely import affinity
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box
from shapely.ops import split, unary_union

SIZE = 1536
GROWN = ("wheat", "rapeseed", "maize", "barley", "beet", "meadow", "soil", "ploughed", "stubble")


@dataclass
class Land:
    """What lies where."""

    swath: Polygon
    river: Polygon
    lake: Polygon
    island: Polygon
    bars: list[Polygon]
    woods: list[Polygon]
    roads: list[LineString]
    tracks: list[LineString]
    village: Polygon
    roofs: list[tuple[Polygon, float]]
    fields: list[tuple[Polygon, float, str]] = field(default_factory=list)


def make_land(rng: np.random.Generator) -> Land:
    """Every polygon of the scene; roofs and fields with the direction of their long side in radians."""
    swath = _swath(rng)
    line, widths = _meander(rng)
    river = unary_union([LineString(line[i : i + 2]).buffer(widths[i] / 2) for i in range(len(line) - 1)]).simplify(
        0.15
    )
    lake = _blob(rng, (1120, 290), (215, 140), 0.16)
    island = _blob(rng, (1175, 270), (44, 30), 0.18).buffer(4)
    woods = [
        _blob(rng, (330, 215), (185, 120), 0.22),
        _blob(rng, (1185, 1230), (215, 165), 0.24),
        _blob(rng, (830, 1420), (90, 60), 0.2),
        _blob(rng, (700, 70), (60, 45), 0.2),
    ]
    roads, streets = _roads()
    village = unary_union([street.buffer(52, cap_style="round") for street in streets]).simplify(1)
    roofs = _roofs(rng, streets)
    land = Land(swath, river, lake - island, island, _bars(line, widths), woods, roads + streets, [], village, roofs)
    parcels = list(_parcels(rng, affinity.rotate(box(-200, -200, SIZE + 200, SIZE + 200), -14)))
    kept_free = unary_union(
        [
            river.buffer(17),
            lake.buffer(20),
            village.buffer(6),
            *(wood.buffer(5) for wood in woods),
            *(road.buffer(9) for road in land.roads),
            *(bar.buffer(4) for bar in land.bars),
        ]
    )
    land.tracks = [LineString(p.exterior.coords[:2]) for p in parcels[::5]]
    land.fields = list(_fields(rng, parcels, kept_free))
    return land


def _swath(rng: np.random.Generator) -> Polygon:
    """The part that the sensor saw: a turned square with ragged edges."""
    corners = np.array([(104, 0), (SIZE, 96), (SIZE - 104, SIZE), (0, SIZE - 96), (104, 0)], float)
    edges = []
    for a, b in itertools.pairwise(corners):
        steps = np.linspace(0, 1, 97)[:-1, None]
        inward = np.array([-(b - a)[1], (b - a)[0]]) / np.hypot(*(b - a))
        ragged = np.repeat(rng.uniform(2, 9, 24), 4)[:, None] * inward
        edges.append(a + steps * (b - a) + ragged)
    return Polygon(np.concatenate(edges)) & box(0, 0, SIZE, SIZE)


def _meander(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A river's centre line ``(n, 2)`` and its widths: its direction swings like a sine along its length."""
    step, count = 6.0, 460
    along = np.arange(count) * step
    swing = 1.18 * np.sin(2 * np.pi * along / 820 + 0.9) + 0.35 * np.sin(2 * np.pi * along / 510 + 2.0)
    heading = 0.25 + swing
    line = np.array([-60.0, 470.0]) + np.cumsum(step * np.stack([np.cos(heading), np.sin(heading)], -1), axis=0)
    wobble = ndimage.gaussian_filter1d(rng.normal(size=count), 14) * 14
    return line, 34 + 5 * np.sin(2 * np.pi * along / 410) + wobble


def _bars(line: NDArray[np.float64], widths: NDArray[np.float64]) -> list[Polygon]:
    """Sand on the inner side of the sharpest bends."""
    direction = np.gradient(line, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    turn = np.gradient(np.unwrap(np.arctan2(direction[:, 1], direction[:, 0])))
    bars = []
    for sign in (1, -1):
        bends, count = ndimage.label(sign * ndimage.gaussian_filter1d(turn, 4) > 0.035)
        for bend in range(1, count + 1):
            at = np.flatnonzero(bends == bend)
            normal = sign * np.stack([-direction[at, 1], direction[at, 0]], -1)
            bulge = np.sin(np.linspace(0, np.pi, len(at)))[:, None] * 13
            inner = line[at] + normal * (widths[at, None] / 2 - 4)
            bars.append(Polygon(np.concatenate([inner, (inner + normal * bulge)[::-1]])).buffer(1.5))
    return bars


def _blob(rng: np.random.Generator, centre: tuple[float, float], radii: tuple[float, float], rough: float) -> Polygon:
    """An ellipse with an uneven shore."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    shore = np.ones_like(angle)
    for n in range(2, 11):
        shore += rough * rng.normal() / n**1.1 * np.cos(n * angle + rng.uniform(0, 2 * np.pi))
    return Polygon(np.stack([np.cos(angle), np.sin(angle)], -1) * shore[:, None] * radii + centre)


def _curve(*points: tuple[float, float]) -> LineString:
    """A smooth line near the points."""
    knots = np.array(points, float)
    fine = np.stack([np.interp(np.linspace(0, len(knots) - 1, 200), range(len(knots)), k) for k in knots.T], -1)
    return LineString(ndimage.gaussian_filter1d(fine, 12, axis=0, mode="nearest"))


def _roads() -> tuple[list[LineString], list[LineString]]:
    """Country roads, and the streets of the village."""
    roads = [
        _curve((-60, 900), (150, 985), (330, 1085), (560, 1150), (760, 1210), (930, 1300), (1010, 1600)),
        _curve((520, -60), (560, 150), (700, 330), (860, 465), (1080, 500), (1300, 470), (1620, 420)),
        _curve((700, 330), (800, 210), (880, 80), (900, -60)),
    ]
    streets = [
        _curve((250, 1045), (330, 1085), (560, 1150), (660, 1180)),
        _curve((400, 1105), (385, 1190), (350, 1290), (365, 1345)),
        _curve((500, 1133), (475, 1220), (450, 1300)),
        _curve((372, 1235), (470, 1245), (560, 1262)),
    ]
    return roads, streets


def _roofs(rng: np.random.Generator, streets: list[LineString]) -> list[tuple[Polygon, float]]:
    """Houses along both sides of the streets, some wall to wall."""
    roofs: list[tuple[Polygon, float]] = []
    taken = unary_union([street.buffer(7) for street in streets])
    for street in streets:
        for side in (-1, 1):
            at = 12.0
            while at < street.length - 12:
                row = rng.random() < 0.22
                length, depth = (rng.uniform(14, 17), 14.0) if row else (rng.uniform(15, 27), rng.uniform(12, 16))
                away = 25 if row else rng.uniform(20, 30)
                houses = rng.integers(3, 6) if row else 1
                for _ in range(houses):
                    roof, angle = _house(street, at, side * away, length, depth, angled=not row and rng.random() < 0.25)
                    if not roof.intersects(taken) and at < street.length - 8:
                        roofs.append((roof, angle))
                    at += length
                taken = unary_union([taken, *(r.buffer(1.5) for r, _ in roofs[-houses:])])
                at += rng.uniform(7, 15)
    return roofs


def _house(
    street: LineString, at: float, away: float, length: float, depth: float, *, angled: bool
) -> tuple[Polygon, float]:
    """A roof beside the street, in an L where it is angled."""
    here, ahead = (np.array(street.interpolate(at + d).coords[0]) for d in (0, 2))
    angle = float(np.arctan2(*(ahead - here)[::-1]))
    place = here + away * np.array([-np.sin(angle), np.cos(angle)])
    outline = box(-length / 2, -depth / 2, length / 2, depth / 2)
    if angled:
        wing = box(-length / 2, 0, -length / 2 + depth * 0.8, depth * 1.2)
        outline = outline | wing
    return affinity.translate(affinity.rotate(outline, angle, origin=(0, 0), use_radians=True), *place), angle


def _parcels(rng: np.random.Generator, land: Polygon) -> Iterator[Polygon]:
    """Cut land in two across its longer side until the parts are as large as a field."""
    if land.area < rng.uniform(16_000, 62_000):
        yield land
        return
    corners = np.array(land.minimum_rotated_rectangle.exterior.coords)
    sides = np.linalg.norm(np.diff(corners, axis=0), axis=1)[:2]
    long, short = np.diff(corners, axis=0)[[np.argmax(sides), np.argmin(sides)]]
    start = corners[np.argmax(sides)] + long * rng.uniform(0.36, 0.64)
    across = affinity.rotate(LineString([start - 2 * short, start + 2 * short]), rng.normal(0, 2.5))
    for part in split(land, across).geoms:
        yield from _parcels(rng, part)


def _fields(
    rng: np.random.Generator, parcels: list[Polygon], kept_free: Polygon
) -> Iterator[tuple[Polygon, float, str]]:
    """Parcels with their margins off, where nothing else is; neighbours seldom grow the same."""
    last = ""
    for parcel in parcels:
        rest = (parcel.buffer(-3, join_style="mitre") - kept_free).buffer(-7).buffer(7, join_style="round")
        part = max(rest.geoms, key=lambda p: p.area) if isinstance(rest, MultiPolygon) else rest
        crop = str(rng.choice([c for c in GROWN if c != last]))
        last = crop
        inside = part & box(0, 0, SIZE, SIZE)
        if part.is_empty or inside.area < 5000:
            continue
        corners = np.array(parcel.minimum_rotated_rectangle.exterior.coords)
        sides = np.diff(corners, axis=0)[:2]
        long = sides[np.argmax(np.linalg.norm(sides, axis=1))]
        yield Polygon(part.exterior), float(np.arctan2(long[1], long[0])), crop


def truth(land: Land) -> list[tuple[Polygon | MultiPolygon, str]]:
    """What is to be found, with its category, inside the swath."""
    found = [(land.river, "river"), (land.lake, "lake"), (land.island, "island")]
    found += [(shape, "field") for shape, _, _ in land.fields]
    found += [(shape, "building") for shape, _ in land.roofs]
    found += [(shape, "wood") for shape in land.woods]
    seen = [(shape & land.swath, category) for shape, category in found]
    return [(shape, category) for shape, category in seen if shape.area > 30]


def centre(shape: Polygon) -> Point:
    """The point farthest inside a polygon."""
    return shapely.maximum_inscribed_circle(shape, tolerance=0.5).interpolate(0)
