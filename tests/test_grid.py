"""Windows, grids and tiles by property."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptile.grid import LPS, PIXELS, Grid, Window, rescale, starts, tiles


@st.composite
def shapes(draw, low=1, high=40, ndim=None):
    n = draw(st.integers(1, 3)) if ndim is None else ndim
    return tuple(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)))


@st.composite
def windows(draw, ndim):
    start = draw(st.lists(st.integers(-20, 20), min_size=ndim, max_size=ndim))
    shape = draw(st.lists(st.integers(0, 20), min_size=ndim, max_size=ndim))
    return Window(tuple(start), tuple(shape))


@st.composite
def grids(draw):
    """Any orientation, handedness and anisotropy, far from the origin or not."""
    ndim = draw(st.sampled_from([2, 3]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    turn, _ = np.linalg.qr(random.normal(size=(ndim, ndim)))
    spacing = 10.0 ** random.uniform(-4, 3, ndim) * random.choice([-1, 1], ndim)
    matrix = np.eye(ndim + 1)
    matrix[:ndim, :ndim] = turn * spacing
    matrix[:ndim, ndim] = random.uniform(-1, 1, ndim) * draw(st.sampled_from([0, 1, 1e3, 1e6]))
    return Grid.of(draw(shapes(ndim=ndim)), matrix, draw(st.sampled_from([LPS, PIXELS, "EPSG:32633"])))


def members(window):
    return set(itertools.product(*(range(a, b) for a, b in zip(window.start, window.stop, strict=True))))


@given(grids(), st.integers(0, 2**32))
def test_index_to_world_and_back(grid, seed):
    points = np.random.default_rng(seed).uniform(-0.5, np.array(grid.shape) - 0.5, (20, grid.ndim))
    world = grid.to_world(points)
    # what floats can hold of a position, as a share of a sample
    lost = np.abs(world).max() / min(grid.spacing) * 1e-14 * grid.ndim
    np.testing.assert_allclose(grid.to_index(world), points, atol=1e-9 + lost, rtol=0)


@given(grids())
def test_world_is_x_y_z_of_the_affine(grid):
    index = np.arange(1, grid.ndim + 1)
    expected = np.array(grid.affine) @ [*index, 1]
    np.testing.assert_allclose(grid.to_world(index), expected[:-1])
    assert grid.sample_size == pytest.approx(np.prod(grid.spacing))


@given(grids(), st.data())
def test_a_part_of_a_grid_keeps_its_place(grid, data):
    window = data.draw(windows(grid.ndim))
    inner = data.draw(shapes(ndim=grid.ndim))
    np.testing.assert_allclose(
        grid[window].to_world(inner), grid.to_world(np.add(inner, window.start)), rtol=1e-9, atol=1e-6
    )
    assert grid[window].shape == window.shape
    assert grid[window].space == grid.space


@given(grids(), st.data())
def test_a_coarse_sample_covers_whole_fine_ones(grid, data):
    factors = data.draw(shapes(ndim=grid.ndim, high=9))
    coarse = grid.coarsen(factors)
    assert all((n - 1) * f < m <= n * f for n, f, m in zip(coarse.shape, factors, grid.shape, strict=True))
    index = np.array(data.draw(shapes(ndim=grid.ndim)), float)
    for edge in (-0.5, 0.0, 0.5):  # low edge, centre, high edge of a coarse sample
        fine = (index + edge + 0.5) * factors - 0.5
        np.testing.assert_allclose(coarse.to_world(index + edge), grid.to_world(fine), rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(rescale(fine, factors), index + edge, atol=1e-9)


def test_without_affine_world_is_x_y():
    assert Grid.of((5, 7)).to_world((3, 4)).tolist() == [4, 3]
    assert Grid.of((5, 7, 9)).to_world((1, 2, 3)).tolist() == [3, 2, 1]
    assert Grid.of((5, 7)).space == PIXELS


def test_an_affine_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match="3-dimensional grid needs"):
        Grid.of((5, 7, 9), np.eye(3))


def test_grids_are_values():
    a, b = (Grid.of((5, 7), np.diag([2, 2, 1])) for _ in range(2))
    assert a == b
    assert hash(a) == hash(b)
    assert a != Grid.of((5, 7))


@given(st.integers(1, 3).flatmap(lambda n: st.tuples(windows(n), windows(n))))
def test_windows_are_sets_of_samples(pair):
    a, b = pair
    assert members(a & b) == members(a) & members(b)
    assert members(a | b) >= members(a) | members(b)
    if not (a.empty or b.empty):
        assert (b in a) == (members(b) <= members(a))
    assert a.size == len(members(a))
    assert a.empty == (not members(a))


@given(windows(2), st.integers(0, 5))
def test_growing_and_shrinking(window, margin):
    assert window.grow(margin).grow(-margin) == window
    assert members(window.grow(margin)) >= members(window)


@given(shapes(ndim=2), windows(2))
def test_slices_cut_the_window_out(shape, window):
    array = np.arange(np.prod(shape)).reshape(shape)
    part = window.clip(shape)
    assert array[part.slices].shape == part.shape
    outer = part.grow(2).clip(shape)
    np.testing.assert_array_equal(array[outer.slices][part.within(outer).slices], array[part.slices])


@given(windows(2))
def test_points_on_the_edge_belong_to_one_window_only(window):
    right = window.shift((0, window.shape[1]))
    edge = np.array([[a - 0.5, window.stop[1] - 0.5] for a in range(window.start[0], window.stop[0])])
    if window.empty:
        return
    assert not window.holds(edge).any()
    assert right.holds(edge).all()


@st.composite
def tilings(draw):
    shape = draw(shapes())
    sizes = [draw(st.integers(1, 24)) for _ in shape]
    return shape, sizes, [draw(st.integers(0, s - 1)) for s in sizes]


@given(tilings())
def test_cores_partition_the_image(tiling):
    shape, sizes, overlaps = tiling
    seen = np.zeros(shape, int)
    for tile in tiles(shape, sizes, overlaps):
        assert not tile.core.empty
        seen[tile.core.slices] += 1
    assert (seen == 1).all()


@given(tilings())
def test_outer_windows_hold_their_cores_and_stay_inside(tiling):
    shape, sizes, overlaps = tiling
    for tile in tiles(shape, sizes, overlaps):
        assert tile.core in tile.outer
        assert tile.outer in Window.of(shape)
        # the last window shifts inward instead of being smaller
        assert tile.outer.shape == tuple(map(min, sizes, shape))


@given(tilings())
def test_neighbours_share_the_overlap(tiling):
    shape, sizes, overlaps = tiling
    for n, size, overlap in zip(shape, sizes, overlaps, strict=True):
        firsts = starts(n, size, overlap)
        assert firsts[0] == 0
        assert firsts[-1] == max(n - size, 0)
        assert all(a + size - b >= overlap for a, b in itertools.pairwise(firsts))
        assert all(a < b for a, b in itertools.pairwise(firsts))


@given(tilings())
def test_tile_indices_form_a_lattice(tiling):
    found = [t.index for t in tiles(*tiling)]
    assert found == sorted(set(found))
    assert len(found) == np.prod([i + 1 for i in found[-1]])
