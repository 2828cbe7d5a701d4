"""Sizes: ground truth by geodesic polygons, on every kind of map."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer

from promptile.grid import LPS, PIXELS, Grid, Window, tiles
from promptile.masks import ObjectMask
from promptile.measures import label_measures, measure, measure_name
from promptile.vectors.outlines import geometries

FOOT = 'ENGCRS["site",EDATUM["hut"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["foot",0.3048]]'
CUSTOM = CRS.from_proj4("+proj=laea +lat_0=47.3 +lon_0=8.5 +a=6371000 +b=6300000 +units=km").to_wkt()


def north_up(shape: tuple[int, int], space: str, origin: tuple[float, float], size: float) -> Grid:
    return Grid.of(shape, [[0, size, origin[0]], [-size, 0, origin[1]], [0, 0, 1]], space)


def lopsided(n: int) -> ObjectMask:
    """Most of it in one corner of its bounding box, over several blocks, with a hole."""
    y, x = np.indices((n, n))
    samples = ((y - n / 2) ** 2 + (x - n / 3) ** 2 < (n / 3.2) ** 2) & ((y - n / 2) ** 2 + x**2 > (n / 9) ** 2)
    samples[-1, -1] = True
    return ObjectMask.of((n, n), Window.of((n, n)), samples)


def geodesic(mask: ObjectMask, grid: Grid, densify: float) -> float:
    (shape,) = geometries([mask], grid)
    crs = CRS(grid.space)
    to_geodetic = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    shape = shapely.transform(
        shapely.segmentize(shape, densify), lambda p: np.column_stack(to_geodetic.transform(p[:, 0], p[:, 1]))
    )
    return abs(crs.get_geod().geometry_area_perimeter(shape)[0])


@pytest.mark.parametrize(
    ("space", "origin", "size", "tolerance"),
    [
        ("EPSG:32645", (300_000, 3_000_000), 10, 1e-7),
        ("EPSG:32645", (300_000, 3_000_000), 0.01, 1e-5),  # the oracle's own noise
        ("EPSG:3857", (1e6, 8e6), 20, 1e-6),
        ("EPSG:3857", (1e6, 8e6), 1000, 1e-6),
        ("EPSG:4326", (10, 60), 1e-4, 1e-6),
        ("EPSG:4326", (170, -20), 0.05, 2e-6),  # over the antimeridian
        ("EPSG:2264", (2e6, 5e5), 1, 1e-6),  # US feet
        ("EPSG:3413", (-10_000, 10_000), 30, 1e-6),  # over the pole
        (CUSTOM, (-3, 2), 0.01, 1e-6),  # kilometres, an ellipsoid of its own
    ],
)
def test_area_on_the_ground(space: str, origin: tuple[float, float], size: float, tolerance: float) -> None:
    mask = lopsided(700)
    grid = north_up((700, 700), space, origin, size)
    assert measure(mask, grid)["area_m2"] == pytest.approx(geodesic(mask, grid, size), rel=tolerance)


def test_equal_area_map_needs_no_correction() -> None:
    mask = lopsided(600)
    grid = north_up((600, 600), "EPSG:6933", (1e6, 4e6), 100)
    assert measure(mask, grid)["area_m2"] == pytest.approx(mask.count * 100**2, rel=1e-8)


def test_web_mercator_is_not_taken_at_its_word() -> None:
    grid = north_up((50, 50), "EPSG:3857", (1e6, 8_399_738), 10)  # 60° north: lengths are doubled
    mask = ObjectMask.of((50, 50), Window.of((50, 50)), np.ones((50, 50), bool))
    assert measure(mask, grid)["area_m2"] == pytest.approx(mask.count * 100 / 4, rel=0.01)


def test_centimetres_are_stable() -> None:
    def square(n: int) -> float:
        mask = ObjectMask.of((n, n), Window.of((n, n)), np.ones((n, n), bool))
        corner = (300_000 + 3 / n, 3_000_000 - 3 / n)
        return measure(mask, north_up((n, n), "EPSG:32645", corner, 6 / n))["area_m2"]

    assert square(600) == pytest.approx(square(6), rel=1e-9)


def test_grads_are_no_degrees() -> None:
    mask = lopsided(200)
    grads = measure(mask, north_up((200, 200), "EPSG:4807", (2, 50), 0.001))["area_m2"]
    degrees = measure(mask, north_up((200, 200), "EPSG:4275", (1.8, 45), 0.0009))["area_m2"]
    assert grads == pytest.approx(degrees, rel=1e-9)


def test_rotated_grid() -> None:
    mask = lopsided(300)
    turn = np.array([[math.sin(0.7), math.cos(0.7)], [-math.cos(0.7), math.sin(0.7)]]) * 3
    grid = Grid.of((300, 300), [[*turn[0], 4e5], [*turn[1], 5e6], [0, 0, 1]], "EPSG:32632")
    assert measure(mask, grid)["area_m2"] == pytest.approx(geodesic(mask, grid, 3), rel=1e-6)


def test_local_systems_are_flat() -> None:
    mask = lopsided(100)
    assert measure(mask, north_up((100, 100), FOOT, (0, 0), 2))["area_m2"] == pytest.approx(
        mask.count * 4 * 0.3048**2, rel=1e-12
    )


def test_no_ground_no_area() -> None:
    mask = ObjectMask.of((9, 9), Window((0, 0), (2, 2)), np.ones((2, 2), bool))
    beyond = north_up((9, 9), "+proj=ortho +lat_0=0 +lon_0=0", (-9e6, 9e6), 1000)
    assert math.isnan(measure(mask, beyond)["area_m2"])


def test_volumes_and_samples() -> None:
    solid = ObjectMask.of((8, 8, 8), Window((1, 1, 1), (2, 3, 4)), np.ones((2, 3, 4), bool))
    oblique = np.array([[0, 0.6, 0.4], [0, 0.8, -0.3], [3, 0, 0]])
    affine = np.eye(4)
    affine[:3, :3] = oblique
    assert measure(solid, Grid.of((8, 8, 8), affine, LPS)) == {"volume_mm3": pytest.approx(24 * 1.5)}
    assert measure(solid, Grid.of((8, 8, 8))) == {"volume_px": 24}
    flat = lopsided(20)
    assert measure(flat, Grid.of((20, 20), [[0, 2, 0], [3, 0, 0], [0, 0, 1]], LPS)) == {
        "area_mm2": pytest.approx(flat.count * 6)
    }
    assert measure(flat, Grid.of((20, 20))) == {"area_px": flat.count}


@pytest.mark.parametrize("space", ["EPSG:32645", "EPSG:4326", LPS, PIXELS])
def test_an_empty_mask_measures_nothing(space: str) -> None:
    grid = Grid.of((4, 4), space=space)
    empty = ObjectMask.of((4, 4), Window((0, 0), (0, 0)), np.zeros((0, 0), bool))
    assert measure(empty, grid) == {measure_name(grid): 0.0}


@pytest.mark.parametrize(
    ("space", "origin", "size", "tolerance"),
    [
        ("EPSG:32645", (300_000, 3_000_000), 10, 1e-7),
        ("EPSG:3857", (1e6, 8e6), 20, 1e-6),
        ("EPSG:4326", (170, -20), 0.05, 2e-6),
        (FOOT, (0, 0), 2.0, 1e-12),
        (PIXELS, (0, 0), 1.0, 0),
    ],
)
def test_labels_are_measured_like_masks(space: str, origin: tuple[float, float], size: float, tolerance: float) -> None:
    grid = north_up((700, 500), space, origin, size)
    labels = np.random.default_rng(3).integers(0, 9, (7, 5)).astype(np.uint32).repeat(100, 0).repeat(100, 1)
    labels[labels == 4] = 70_000
    ids = np.unique(labels)[1:]
    sums = dict.fromkeys(ids.tolist(), 0.0)
    for tile in tiles(grid.shape, 333, 0):
        part = labels[tile.core.slices]
        present = np.setdiff1d(part, [0])
        for number, value in zip(present, label_measures(part, tile.core, grid, present), strict=True):
            sums[int(number)] += value
    for number in ids:
        mask = ObjectMask.of(grid.shape, grid.window, labels == number)
        assert sums[int(number)] == pytest.approx(measure(mask, grid)[measure_name(grid)], rel=tolerance)
