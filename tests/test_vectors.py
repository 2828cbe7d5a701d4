"""Outlines: exact, valid, and equal to what rasterio finds."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from promptile.corners import CornerScan
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask, blocks_of
from promptile.vectors.outlines import geometries, outline, sort, to_geometries
from promptile.vectors.rings import trace

SPIRAL = """
#######
......#
#####.#
#...#.#
#.###.#
#.....#
#######
"""
"""A ring that is closed by nothing, around another one."""

PINCHED = """
####
#.##
##.#
####
"""
"""Two holes that touch at a point."""

NOTCHED = """
####
#.##
###.
####
"""
"""A hole that touches the outside at a point: the exterior must be cut there."""

NESTED = """
#########
#.......#
#.#####.#
#.#...#.#
#.#.#.#.#
#.#...#.#
#.#####.#
#.......#
#########
"""


def drawn(text: str) -> np.ndarray:
    return np.array([[c == "#" for c in line] for line in text.split()])


def as_mask(samples: np.ndarray, shape: tuple[int, int] | None = None, start: tuple[int, int] = (0, 0)) -> ObjectMask:
    return ObjectMask.of(shape or samples.shape, Window(start, samples.shape), samples)


def corner_grid(shape: tuple[int, ...]) -> Grid:
    """World coordinates as rasterio has them without a transform: integers on corners, y down."""
    return Grid.of(shape, [[0, 1, 0.5], [1, 0, 0.5], [0, 0, 1]])


def expected(samples: np.ndarray) -> shapely.MultiPolygon:
    found = rasterio.features.shapes(samples.astype(np.uint8), mask=samples, connectivity=4)
    return shapely.MultiPolygon([shapely.geometry.shape(polygon) for polygon, _ in found])


def check(samples: np.ndarray) -> None:
    (found,) = geometries([as_mask(samples)], corner_grid(samples.shape))
    assert shapely.is_valid(found)
    assert found.area == samples.sum()
    assert all(p.exterior.is_ccw and not any(hole.is_ccw for hole in p.interiors) for p in found.geoms)
    assert shapely.normalize(found) == shapely.normalize(expected(samples))


@settings(deadline=None)  # the first example compiles
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_any_mask_equals_rasterio(samples: np.ndarray) -> None:
    check(samples)


@pytest.mark.parametrize("text", [SPIRAL, PINCHED, NOTCHED, NESTED])
def test_drawn_masks(text: str) -> None:
    samples = drawn(text)
    for turned in (samples, samples[::-1], samples.T, ~samples):
        check(turned)


@pytest.mark.parametrize("density", [0.1, 0.4, 0.5, 0.6, 0.9])
def test_noise_over_several_blocks(density: float) -> None:
    check(np.random.default_rng(1).random((520, 530)) < density)


def test_checkerboard_is_one_polygon_per_sample() -> None:
    samples = np.indices((30, 30)).sum(0) % 2 == 0
    check(samples)
    assert len(outline(as_mask(samples))) == samples.sum()


def test_blobs_equal_rasterio() -> None:
    check(ndimage.gaussian_filter(np.random.default_rng(2).random((600, 900)), 5) > 0.5)


def test_a_sample_has_its_edges_half_an_index_away() -> None:
    mask = as_mask(np.ones((1, 1), bool), (600, 600), (511, 512))
    ((ring,),) = outline(mask)
    assert ring.min(axis=0).tolist() == [510.5, 511.5]
    assert ring.max(axis=0).tolist() == [511.5, 512.5]
    assert (ring[0] == ring[-1]).all()


def test_rings_have_no_vertex_on_a_straight_edge() -> None:
    ((ring,),) = outline(as_mask(np.ones((1500, 1500), bool)))
    assert len(ring) == 5


def test_an_empty_mask_is_an_empty_geometry_in_its_place() -> None:
    full, empty = np.ones((3, 3), bool), np.zeros((3, 3), bool)
    found = geometries([as_mask(empty), as_mask(full), as_mask(empty)], corner_grid((3, 3)))
    assert [g.area for g in found] == [0, 9, 0]
    assert {g.geom_type for g in found} == {"MultiPolygon"}
    assert len(geometries([], corner_grid((3, 3)))) == 0
    assert outline(as_mask(empty)) == []


@pytest.mark.parametrize(
    "affine",
    [
        [[0, 2, 100], [-2, 0, 900], [0, 0, 1]],  # north up
        [[0, 2, 100], [2, 0, 900], [0, 0, 1]],  # south up
        [[1.2, 1.6, 100], [-1.6, 1.2, 900], [0, 0, 1]],  # rotated
        [[2, 0, 100], [0, 2, 900], [0, 0, 1]],  # x down the rows
    ],
)
def test_world_coordinates_and_orientation(affine: list[list[float]]) -> None:
    samples = drawn(NESTED)
    grid = Grid.of(samples.shape, affine)
    (found,) = geometries([as_mask(samples)], grid)
    assert shapely.is_valid(found)
    assert found.area == pytest.approx(samples.sum() * 4)
    assert all(p.exterior.is_ccw and not any(hole.is_ccw for hole in p.interiors) for p in found.geoms)
    corners = grid.to_world(np.argwhere(np.ones(np.add(samples.shape, 1))) - 0.5)
    distance = np.abs(shapely.get_coordinates(found)[:, None] - corners[None]).sum(-1).min(axis=1)
    assert distance.max() < 1e-9
    centres = shapely.points(grid.to_world(np.argwhere(samples)))
    assert shapely.contains(found, centres).all()


def test_many_labels_in_one_scan() -> None:
    random = np.random.default_rng(3)
    labels = ndimage.zoom(random.integers(0, 30, (12, 15)), 7, order=0)
    labels[random.random(labels.shape) < 0.2] = 0
    corners = CornerScan()(np.pad(labels, 1).astype(np.uint32), 0, 0)
    corners = corners.take(np.argsort(corners.label, kind="stable"))
    ids = np.unique(labels[labels > 0])
    found = to_geometries(sort(trace(corners)), ids, corner_grid(labels.shape))
    for number, geometry in zip(ids, found, strict=True):
        assert shapely.normalize(geometry) == shapely.normalize(expected(labels == number))


def test_memory_follows_the_outline() -> None:
    """A frame of 30,000 × 30,000 samples, one block wide: 232 of 3,481 blocks hold samples."""
    side = 30_000
    blocks = [b for b in blocks_of(Window((0, 0), (side, side))) if on_frame(b, side)]
    mask = ObjectMask.collect((side, side), ((b, np.ones(b.clip((side, side)).shape, bool)) for b in blocks))
    outline(as_mask(drawn(NESTED)))
    tracemalloc.start()
    (polygon,) = outline(mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(ring) for ring in polygon] == [5, 5]
    assert peak < 4e6


def on_frame(block: Window, side: int) -> bool:
    return 0 in block.start or max(block.stop) >= side
