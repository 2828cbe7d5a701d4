"""Shaped outlines: borders stay shared, nothing overlaps, nothing opens, and strips do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from promptile.corners import CornerScan
from promptile.errors import UsageError
from promptile.grid import Grid, Window
from promptile.vectors.lines import lines_of
from promptile.vectors.marks import Marks, has_vertex
from promptile.vectors.rings import trace
from promptile.vectors.shaping import Shaping
from test_vectors_stream import as_labels, blobs, corner_grid, polygons

WHOLE = (1024, 2048)


def check_coverage(labels: np.ndarray, shaping: Shaping, grid: Grid | None = None) -> dict[int, shapely.MultiPolygon]:
    """Valid, no overlaps, no gaps: with background as an object of its own, the plane is still a partition."""
    grid = grid or corner_grid(labels.shape)
    labels = labels + np.uint32(1)  # background takes part
    exact = polygons(as_labels(labels, grid), WHOLE)
    found = polygons(as_labels(labels, grid), WHOLE, shaping)
    shapes = np.array([*found.values()])
    assert found.keys() == exact.keys()
    assert shapely.is_valid(shapes).all()
    assert (shapely.area(shapes) > 0).all()
    assert shapely.coverage_is_valid(shapes)
    frame = labels.size * grid.sample_size
    assert shapely.area(shapes).sum() == pytest.approx(frame, rel=1e-9)
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(frame, rel=1e-9)
    pieces = [shapely.get_num_geometries(exact[n]) for n in found]
    assert shapely.get_num_geometries(shapes).tolist() == pieces
    return found


images = hnp.arrays(np.uint32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 3))


@settings(deadline=None)
@given(images, st.sampled_from([0.4, 0.8, 1.1, 1.5, 2.3, 5.0]))
def test_simplified_noise_is_a_coverage(labels: np.ndarray, tolerance: float) -> None:
    check_coverage(labels, Shaping(simplify=tolerance))


@settings(deadline=None)
@given(images, st.sampled_from([0, 0.8, 1.5, 4.0]), st.integers(1, 3))
def test_smoothed_noise_is_a_coverage(labels: np.ndarray, tolerance: float, rounds: int) -> None:
    check_coverage(labels, Shaping(simplify=tolerance, smooth=rounds))


@st.composite
def grown(draw: st.DrawFn) -> np.ndarray:
    """Thin and thick shapes with slanting borders, scaled from noise."""
    seed, size, count = draw(st.integers(0, 10**6)), draw(st.sampled_from([1.0, 1.7, 3.0])), draw(st.integers(2, 6))
    shape = (draw(st.integers(8, 50)), draw(st.integers(8, 50)))
    random = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(random.normal(size=shape), size) for _ in range(count)]
    return np.argmax(fields, axis=0).astype(np.uint32)


@settings(deadline=None)
@given(grown(), st.sampled_from([0.5, 0.8, 1.2, 2.0, 3.7, 10.0]), st.integers(0, 2))
def test_shaped_blobs_are_a_coverage(labels: np.ndarray, tolerance: float, rounds: int) -> None:
    check_coverage(labels, Shaping(simplify=tolerance, smooth=rounds))


@settings(deadline=None, max_examples=50)
@given(grown(), st.sampled_from([0, 0.8, 2.0]), st.integers(0, 2), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_any_pieces_give_the_same(labels: np.ndarray, tolerance: float, rounds: int, piece: tuple[int, int]) -> None:
    shaping = Shaping(simplify=tolerance, smooth=rounds, fill_holes=5)
    found, wanted = polygons(as_labels(labels), piece, shaping), polygons(as_labels(labels), WHOLE, shaping)
    assert found.keys() == wanted.keys()
    assert all(shapely.equals_exact(shape, wanted[number], 0) for number, shape in found.items())


@settings(deadline=None)
@given(images, st.booleans())
def test_lines_and_marks_know_the_same_vertices(labels: np.ndarray, middles: bool) -> None:
    """What keeps lines from crossing: each vertex of any line is found where it is looked for, and no other."""
    corners = CornerScan()(np.pad(labels + np.uint32(1), 1), 0, 0)
    marks = Marks(Window.of(np.add(labels.shape, 1)), labels.shape)
    marks.slide(0, labels.shape[0] + 1)
    marks.add(corners)
    lines = lines_of(trace(corners.by_label()), marks.sheet, middles)
    places = np.argwhere(np.ones(2 * np.add(labels.shape, 1) - 1))
    found = {(row, col) for row, col in places.tolist() if has_vertex(marks.sheet, row, col, middles)}
    assert found == {(row, col) for row, col in lines.points.tolist()}


@pytest.mark.parametrize("tolerance", [0.5, 1, 2, 5])
def test_outlines_move_by_no_more_than_the_tolerance(tolerance: float) -> None:
    labels = blobs((200, 220), 5, 3)
    exact = polygons(as_labels(labels), WHOLE)
    for number, geometry in polygons(as_labels(labels), WHOLE, Shaping(simplify=tolerance)).items():
        assert shapely.hausdorff_distance(geometry.boundary, exact[number].boundary, 0.2) <= tolerance + 1e-9


def test_simplified_outlines_have_few_vertices() -> None:
    """A disc and a slanted strip: stairs go at one sample and a half of tolerance."""
    y, x = np.indices((300, 300))
    disc = ((y - 100) ** 2 + (x - 100) ** 2 < 80**2).astype(np.uint32)
    strip = 2 * ((np.abs(y * 0.3 - x + 200) < 10) & (y > 190)).astype(np.uint32)
    found = polygons(as_labels(np.maximum(disc, strip)), WHOLE, Shaping(simplify=1.5))
    assert shapely.get_num_coordinates(found[1]) < 30
    assert shapely.get_num_coordinates(found[2]) < 12
    assert found[1].area == pytest.approx(np.pi * 80**2, rel=0.02)


@pytest.mark.parametrize("piece", [(1, 1000), (7, 300), (33, 20), (64, 64), (1024, 2048)])
def test_pieces_do_not_matter(piece: tuple[int, int]) -> None:
    labels = blobs((150, 130), 3)
    shaping = Shaping(simplify=1.2, smooth=2, fill_holes=3, min_area=2, regularize=True)
    found = polygons(as_labels(labels), piece, shaping)
    wanted = polygons(as_labels(labels), WHOLE, shaping)
    assert found.keys() == wanted.keys()
    for number, geometry in found.items():
        assert shapely.equals_exact(shapely.normalize(geometry), shapely.normalize(wanted[number]), 0)


@pytest.mark.parametrize(
    "affine",
    [
        [[0, 0.3, 300_000.1], [-0.3, 0, 3_000_000.7], [0, 0, 1]],
        [[1.2, 1.6, 100], [-1.6, 1.2, 900], [0, 0, 1]],  # rotated
        [[0, 2, 100], [-5, 0, 900], [0, 0, 1]],  # samples are no squares
        [[0.7, 2, 100], [-5, 0.1, 900], [0, 0, 1]],  # sheared
        [[2, 0, 100], [0, 2, 900], [0, 0, 1]],  # x down the rows
    ],
)
def test_tolerances_are_in_the_units_of_the_map(affine: list[list[float]]) -> None:
    labels = blobs((100, 120), 4)
    grid = Grid.of(labels.shape, affine)
    tolerance = 1.5 * min(grid.spacing)
    found = check_coverage(labels, Shaping(simplify=tolerance), grid)
    exact = polygons(as_labels(labels + np.uint32(1), grid), WHOLE)
    for number, geometry in found.items():
        moved = shapely.hausdorff_distance(geometry.boundary, exact[number].boundary, 0.2)
        assert moved <= tolerance * (1 + 1e-6)
    assert sum(map(shapely.get_num_coordinates, found.values())) < 0.7 * sum(
        map(shapely.get_num_coordinates, exact.values())
    )


def test_the_frame_of_the_image_stays() -> None:
    labels = blobs((90, 70), 6) + np.uint32(1)
    found = polygons(as_labels(labels), WHOLE, Shaping(simplify=4, smooth=3))
    assert shapely.union_all([*found.values()]).equals(shapely.box(0, 0, 70, 90))


def test_smooth_outlines_turn_gently() -> None:
    y, x = np.indices((120, 120))
    disc = ((y - 60) ** 2 + (x - 60) ** 2 < 50**2).astype(np.uint32)
    (shape,) = polygons(as_labels(disc), WHOLE, Shaping(simplify=1, smooth=3)).values()
    ring = shapely.get_coordinates(shape)
    steps = np.diff(ring, axis=0)
    angles = np.arctan2(steps[:, 1], steps[:, 0])
    turns = np.abs((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi)
    assert np.degrees(turns.max()) < 20
    assert shape.area == pytest.approx(np.pi * 50**2, rel=0.02)


HOLES = """
..............
.AAAAAAAAAAAA.
.A.AAAA..BAAA.
.AAAAAA...AAA.
.AA.AAAAAAA.A.
.A.CAAA..A.AA.
.AAAAAA..AAAA.
.AAAAAAAAAAAA.
.AADDAAAAAAAAA
.A.AAA...AAA..
.AAAAA.E.AA.A.
.AAAAA...AAAA.
.AAAAAAAAAAAA.
"""
"""Holes of one sample, of four; with an object at the border, inside, at a corner, all over; one open at a corner."""


def lettered(text: str) -> np.ndarray:
    return np.array([[0 if c == "." else ord(c) - 64 for c in line] for line in text.split()], np.uint32)


@pytest.mark.parametrize(("largest", "filled"), [(0.5, 0), (1, 4), (3.5, 4), (4, 8), (100, 8)])
def test_holes_of_background_are_filled(largest: float, filled: int) -> None:
    labels = lettered(HOLES)
    exact = polygons(as_labels(labels), (5, 4))
    found = polygons(as_labels(labels), (5, 4), Shaping(fill_holes=largest))
    assert shapely.is_valid([*found.values()]).all()
    assert found[1].area - exact[1].area == filled
    others = [found[n] for n in found if n != 1]
    assert not shapely.area(shapely.intersection(found[1], shapely.union_all(others)))
    assert all(found[n].area == exact[n].area for n in found if n != 1)


def test_small_objects_are_left_out() -> None:
    labels = blobs((100, 100), 3)
    counts = np.bincount(labels.ravel())
    found = polygons(as_labels(labels), WHOLE, Shaping(min_area=20))
    assert sorted(found) == [n for n in range(1, len(counts)) if counts[n] >= 20]


def house(angle: float, size: tuple[int, int] = (100, 120)) -> np.ndarray:
    """An L of slanted walls with a ragged outline."""
    y, x = np.indices(size) - np.array(size)[:, None, None] / 2
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    ragged = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=size), 1.5) * 4
    inside = (np.abs(u + ragged) < 35) & (np.abs(v + ragged) < 25) & ~((u > 5) & (v > 0))
    return inside.astype(np.uint32)


@pytest.mark.parametrize("angle", [0, 0.2, 0.5, 0.78, 1.2])
def test_buildings_get_right_angles(angle: float) -> None:
    labels = house(angle)
    grid = Grid.of(labels.shape, [[0, 0.3, 300_000], [-0.3, 0, 3_000_000], [0, 0, 1]])
    (exact,), (found,) = (
        polygons(as_labels(labels, grid), WHOLE, shaping).values()
        for shaping in (Shaping(), Shaping(simplify=0.45, regularize=True))
    )
    assert shapely.is_valid(found)
    ring = shapely.get_coordinates(found)
    assert len(ring) == 7
    steps = np.diff(ring, axis=0)
    steps = np.concatenate([steps, steps[:1]])
    cosines = (steps[1:] * steps[:-1]).sum(1) / np.linalg.norm(steps[1:], axis=1) / np.linalg.norm(steps[:-1], axis=1)
    assert np.abs(cosines).max() < 1e-6
    direction = np.degrees(np.arctan2(steps[:, 1], steps[:, 0]))
    assert np.abs((direction + np.degrees(angle) + 45) % 90 - 45).max() < 3
    assert found.intersection(exact).area / found.union(exact).area > 0.9
    assert found.area == pytest.approx(exact.area, rel=1e-3)


@pytest.mark.parametrize("turned", [False, True])
def test_buildings_keep_their_courts(turned: bool) -> None:
    labels = house(0.3)
    labels[40:52, 38:48] = 0
    labels[60, 60] = 0
    grid = Grid.of(labels.shape, [[0, 1, 0], [1 if turned else -1, 0, 0], [0, 0, 1]])
    (found,) = polygons(as_labels(labels, grid), WHOLE, Shaping(simplify=1.5, regularize=True)).values()
    (building,) = found.geoms
    assert len(building.exterior.coords) == 7
    assert sorted(shapely.area([shapely.Polygon(hole) for hole in building.interiors])) == pytest.approx([0.5, 120])
    assert building.is_valid


def test_what_is_no_building_is_only_simplified() -> None:
    y, x = np.indices((80, 80))
    diamond_ring = (np.abs((y - 40) ** 2 + (x - 40) ** 2 - 900) < 100).astype(np.uint32)
    (plain,), (found,) = (
        polygons(as_labels(diamond_ring), WHOLE, shaping).values()
        for shaping in (Shaping(simplify=1), Shaping(simplify=1, regularize=True))
    )
    assert found == plain


def test_regularized_noise_is_valid_and_like_the_samples() -> None:
    labels = blobs((120, 120), 3, 5)
    exact = polygons(as_labels(labels), WHOLE)
    for number, shape in polygons(as_labels(labels), WHOLE, Shaping(regularize=True)).items():
        assert shapely.is_valid(shape)
        common = shape.intersection(exact[number]).area
        assert common / (shape.area + exact[number].area - common) >= 0.8 - 1e-9 or shape == exact[number]


@pytest.mark.parametrize(
    "wrong", [{"simplify": -1}, {"min_area": float("nan")}, {"fill_holes": float("inf")}, {"smooth": 9}]
)
def test_impossible_shapings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="--"):
        Shaping(**wrong)
