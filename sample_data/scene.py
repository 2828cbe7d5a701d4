"""The sample scene as a satellite sees it.

The land is painted at twice the resolution, blurred by the optics, averaged to pixels and given the sensor's noise.
"""

from __future__ import annotations

import numpy as np
import shapely
from land import SIZE, Land
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity
from shapely.geometry import Polygon
from shapely.ops import unary_union

FINE = 2  # painted pixels per pixel, along each axis
SUN = np.array([0.55, 0.83])  # where the light comes from: (x, y), y down
COUNTS = 450  # of the sensor at full light

# How bright things look in red, green and blue (0 the darkest, 1 the brightest of the scene), and their near infrared.
CROPS = {
    "wheat": (0.78, 0.68, 0.43, 0.60),
    "rapeseed": (0.80, 0.78, 0.22, 0.78),
    "maize": (0.22, 0.38, 0.18, 0.80),
    "barley": (0.60, 0.60, 0.38, 0.66),
    "beet": (0.18, 0.44, 0.20, 0.95),
    "meadow": (0.36, 0.49, 0.27, 0.74),
    "soil": (0.62, 0.48, 0.37, 0.42),
    "ploughed": (0.38, 0.28, 0.23, 0.28),
    "stubble": (0.91, 0.85, 0.74, 0.62),
}
ROOFS = (
    (0.84, 0.36, 0.25, 0.55),
    (0.62, 0.27, 0.21, 0.45),
    (0.52, 0.38, 0.30, 0.40),
    (0.95, 0.55, 0.36, 0.62),
    (0.43, 0.42, 0.42, 0.26),
    (0.97, 0.96, 0.94, 0.60),
)
GRASS = (0.33, 0.42, 0.24, 0.66)
FOREST = (0.07, 0.12, 0.06, 0.45)
CROWN = (0.20, 0.31, 0.15, 0.74)
RIVER = (0.20, 0.33, 0.35, 0.07)
LAKE = (0.08, 0.22, 0.29, 0.04)
REEDS = (0.42, 0.45, 0.28, 0.52)
MEADOW = (0.26, 0.36, 0.19, 0.60)
SAND = (0.97, 0.92, 0.80, 0.66)
ASPHALT = (0.55, 0.53, 0.49, 0.27)
TRACK = (0.82, 0.74, 0.60, 0.50)
GARDEN = (0.37, 0.46, 0.28, 0.62)

DARK = (0.030, 0.045, 0.055, 0.015)  # reflectance of what looks black, through some haze
RANGE = (0.290, 0.250, 0.210, 0.520)


def smooth_noise(rng: np.random.Generator, cells: int) -> NDArray[np.float32]:
    """Noise of about unit variance over the painted scene, with `cells` bumps along each axis."""
    coarse = rng.normal(size=(cells + 4, cells + 4)).astype(np.float32)
    side = SIZE * FINE
    fine = ndimage.zoom(coarse, (side / cells), order=3)[: side + side // cells, : side + side // cells]
    return np.ascontiguousarray(fine[-side:, -side:]) / 0.7


class Canvas:
    """Brightness ``(4, y, x)`` at the painted resolution."""

    def __init__(self, rng: np.random.Generator) -> None:
        side = SIZE * FINE
        self.rng = rng
        self.side = side
        self.samples = np.empty((4, side, side), np.float32)
        self.rough = ndimage.gaussian_filter(rng.normal(size=(side, side)).astype(np.float32), 0.8) * 2.5
        self.broad = 0.6 * smooth_noise(rng, 9) + 0.4 * smooth_noise(rng, 30)
        self.samples[:] = np.reshape(GRASS, (4, 1, 1)) * (1 + 0.1 * self.broad + 0.035 * self.rough)

    def window(self, shape: shapely.Geometry) -> tuple[tuple[slice, slice], NDArray[np.bool_]] | None:
        """The slices around a polygon and the painted pixels inside."""
        x0, y0, x1, y1 = (int(v * FINE) for v in shape.bounds)
        x0, y0, x1, y1 = max(x0 - 1, 0), max(y0 - 1, 0), min(x1 + 2, self.side), min(y1 + 2, self.side)
        if x0 >= x1 or y0 >= y1 or shape.is_empty:
            return None
        inside = rasterize(
            [shape], (y1 - y0, x1 - x0), transform=Affine(1 / FINE, 0, x0 / FINE, 0, 1 / FINE, y0 / FINE)
        )
        return (slice(y0, y1), slice(x0, x1)), inside.astype(bool)

    def paint(
        self, shape: shapely.Geometry, colour: tuple[float, ...], rough: float = 0.05, broad: float = 0.06
    ) -> None:
        """Fill a polygon with a colour and its texture."""
        found = self.window(shape)
        if found is None:
            return
        place, inside = found
        texture = 1 + rough * self.rough[place] + broad * self.broad[place]
        for band, value in enumerate(colour):
            self.samples[band][place][inside] = (value * texture)[inside]

    def shade(self, shape: shapely.Geometry, factor: float) -> None:
        """Darken a polygon, less so in the near infrared."""
        found = self.window(shape)
        if found is None:
            return
        place, inside = found
        for band in range(4):
            self.samples[band][place][inside] *= factor if band < 3 else factor**0.8

    def field(self, shape: Polygon, angle: float, crop: str) -> None:
        """A field with its rows, tramlines and better and worse soil."""
        found = self.window(shape)
        if found is None:
            return
        place, inside = found
        y, x = np.mgrid[place].astype(np.float32) / FINE
        across = -np.sin(angle) * x + np.cos(angle) * y
        period = self.rng.uniform(4.5, 8)
        strength = 0.10 if crop in ("maize", "beet", "ploughed") else 0.035
        rows = strength * np.sin(2 * np.pi * across / period)
        tracks = -0.16 * ((across % 27.0 < 1.2) | ((across - 4) % 27.0 < 1.2)) * (crop not in ("meadow", "ploughed"))
        soil = self.rng.uniform(0.04, 0.10) * self.broad[place]
        texture = 1 + rows + tracks + soil + 0.02 * self.rough[place] + self.rng.normal(0, 0.06)
        tint = np.array(CROPS[crop]) * (1 + self.rng.normal(0, 0.04, 4))
        for band in range(4):
            self.samples[band][place][inside] = (tint[band] * texture)[inside]

    def water(self, shape: Polygon, colour: tuple[float, ...], shallow: float) -> None:
        """Water that is brighter along its shore, with drifting sediment."""
        found = self.window(shape)
        if found is None:
            return
        place, inside = found
        depth = np.clip(ndimage.distance_transform_edt(inside) / (FINE * shallow), 0, 1)
        drift = 1 + 0.10 * self.broad[place] + 0.02 * self.rough[place]
        for band, value in enumerate(colour):
            bottom = value * (1.35 if band < 3 else 1.8)
            self.samples[band][place][inside] = ((bottom + (value - bottom) * depth) * drift)[inside]

    def roof(self, shape: Polygon, angle: float, colour: tuple[float, ...]) -> None:
        """A gable roof: the side towards the sun is brighter."""
        self.shade(unary_union([affinity.translate(shape, *(-SUN * d)) for d in (1, 2.5, 4)]) - shape, 0.42)
        found = self.window(shape)
        if found is None:
            return
        place, inside = found
        y, x = (np.mgrid[place].astype(np.float32) + 0.5) / FINE
        middle = shape.minimum_rotated_rectangle.centroid
        normal = np.array([-np.sin(angle), np.cos(angle)])
        towards = (x - middle.x) * normal[0] + (y - middle.y) * normal[1]
        lit = np.where(towards * (normal @ SUN) > 0, 1.10, 0.84) * (1 + 0.02 * self.rough[place])
        for band, value in enumerate(colour):
            self.samples[band][place][inside] = (value * lit)[inside]

    def trees(self, places: NDArray[np.float64], radii: NDArray[np.float64], colour: tuple[float, ...]) -> None:
        """Crowns as domes, each with its shadow, from north to south."""
        for i in np.argsort(places[:, 1]):
            self._tree(
                places[i], radii[i], np.array(colour) * self.rng.uniform(0.7, 1.4) * (1 + self.rng.normal(0, 0.09, 4))
            )

    def _tree(self, place: NDArray[np.float64], radius: float, colour: NDArray[np.float64]) -> None:
        reach = int(np.ceil((radius * 2.2 + 1) * FINE))
        column, row = np.floor(place * FINE).astype(int)
        rows = slice(max(row - reach, 0), min(row + reach, self.side))
        columns = slice(max(column - reach, 0), min(column + reach, self.side))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        y, x = (np.mgrid[rows, columns] + 0.5) / FINE
        dx, dy = (x - place[0]) / radius, (y - place[1]) / radius
        uneven = 1 + 0.14 * self.rough[rows, columns]
        crown = dx**2 + dy**2 < uneven
        shadow = ((dx + SUN[0] * 0.9) ** 2 + (dy + SUN[1] * 0.9) ** 2 < 1) & ~crown
        light = 0.78 + 0.48 * (dx * SUN[0] + dy * SUN[1]) + 0.06 * self.rough[rows, columns]
        for band in range(4):
            pixels = self.samples[band][rows, columns]
            pixels[shadow] *= 0.5 if band < 3 else 0.62
            pixels[crown] = (colour[band] * light)[crown]


def scatter(rng: np.random.Generator, shape: Polygon, spacing: float) -> NDArray[np.float64]:
    """Points in a polygon about `spacing` apart, on a shaken lattice."""
    x0, y0, x1, y1 = shape.bounds
    grid = np.mgrid[x0:x1:spacing, y0:y1:spacing].reshape(2, -1).T
    shaken = grid + rng.uniform(-0.48, 0.48, grid.shape) * spacing
    return shaken[shapely.contains_xy(shape, shaken)]


def paint(land: Land, rng: np.random.Generator) -> NDArray[np.uint16]:
    """The scene as the sensor delivers it: ``(4, SIZE, SIZE)``, 0 outside of the swath."""
    canvas = Canvas(rng)
    for shape, angle, crop in land.fields:
        canvas.field(shape, angle, crop)
    for track in land.tracks:
        canvas.paint(track.buffer(1.3, cap_style="flat"), TRACK)
    canvas.paint(land.village, GARDEN, 0.07, 0.14)
    canvas.paint(land.river.buffer(9), MEADOW, 0.12)
    canvas.paint(land.lake.buffer(7), REEDS, 0.12)
    canvas.paint(land.island, SAND, 0.05)
    for bar in land.bars:
        canvas.paint(bar, SAND, 0.05, 0.05)
    canvas.water(land.river, RIVER, 7)
    canvas.water(land.lake, LAKE, 22)
    for roof, _ in land.roofs:
        plot = affinity.scale(roof.minimum_rotated_rectangle, *rng.uniform(1.5, 2.6, 2)) & land.village
        canvas.paint(plot, tuple(np.array(GARDEN) * rng.uniform(0.8, 1.2) * rng.uniform(0.88, 1.12, 4)), 0.08, 0.05)
    canvas.paint(unary_union([road.buffer(4.8) for road in land.roads]), TRACK, 0.06)
    canvas.paint(unary_union([road.buffer(3.3) for road in land.roads]), ASPHALT, 0.03, 0.02)
    _plant(canvas, land, rng)
    colour = 0
    for roof, angle in land.roofs:
        colour = (colour + rng.integers(1, len(ROOFS))) % len(ROOFS)  # never the neighbour's
        canvas.roof(roof, angle, ROOFS[colour])
    return _expose(canvas, land, rng)


def _plant(canvas: Canvas, land: Land, rng: np.random.Generator) -> None:
    """Woods, the island's trees, hedges, trees by the river and in gardens."""
    for wood in [*land.woods, land.island.buffer(-7)]:
        canvas.paint(wood, FOREST, 0.1)
        places = scatter(rng, wood, 6.2)
        canvas.trees(places, rng.uniform(3.0, 5.4, len(places)), CROWN)
    wet = unary_union([land.river.buffer(8.5), land.lake.buffer(9), *(b.buffer(6) for b in land.bars)])
    bank = unary_union([land.river.buffer(16), land.lake.buffer(17)]) - wet
    hedges = unary_union([f.exterior.buffer(2) for f, _, _ in land.fields[::3]]) - wet - land.village.buffer(9)
    gardens = land.village - unary_union([r.buffer(6) for r, _ in land.roofs] + [s.buffer(7) for s in land.roads])
    for shape, spacing, share in ((bank, 9, 0.30), (hedges, 6, 0.34), (gardens, 11, 0.35)):
        places = scatter(rng, shape, spacing)
        places = places[rng.random(len(places)) < share]
        canvas.trees(places, rng.uniform(2.2, 4.4, len(places)), CROWN)


def _expose(canvas: Canvas, land: Land, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Light, haze, optics, noise and counts."""
    row, column = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    light = 1.05 - 0.10 * (0.6 * column + 0.4 * row)
    seen = rasterize([land.swath], (SIZE, SIZE)).astype(bool)
    scene = np.zeros((4, SIZE, SIZE), np.uint16)
    for band in range(4):
        sharp = ndimage.gaussian_filter(canvas.samples[band], 0.62 * FINE)
        brightness = sharp.reshape(SIZE, FINE, SIZE, FINE).mean(axis=(1, 3)) * light
        counts = (DARK[band] + RANGE[band] * brightness) * COUNTS / 0.62
        noisy = counts + rng.normal(size=counts.shape) * np.sqrt(0.1 + 0.0008 * counts)
        scene[band] = np.where(seen, np.clip(np.rint(noisy), 1, COUNTS), 0)
    return scene
