"""What `basin` calculates with: resampling against dense weights, the membrane against the plain way to relax it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin.plane import shapes
from promptile.models.basin.plane.colours import Palette
from promptile.models.basin.plane.contours import trace
from promptile.models.basin.plane.features import Features
from promptile.models.basin.plane.flood import filled, flooded
from promptile.models.basin.plane.frame import SIDE, Frame
from promptile.models.basin.plane.ground import Ground
from promptile.models.basin.plane.resampling import blurred, halved, read
from promptile.models.basin.plane.sight import Sight
from promptile.models.basin.relaxation import FIXED, OVERSHOOT, relax
from promptile.models.basin.solid.masks import dilated, eroded
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.tally import RING_CELLS, Tally
from promptile.models.basin.solid.workgrid import WorkGrid
from promptile.models.protocols import View


def tents(to: NDArray[np.float64], source: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """``(len(to), len(source))``: linear interpolation, widened to an average where it shrinks."""
    place = np.clip(to, source[0], source[-1])
    weights = np.maximum(0, 1 - np.abs(place[:, None] - source) / width)
    return weights / weights.sum(axis=1, keepdims=True)


def dense(frame: Frame) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Weights of the samples for each cell and of the cells for each sample, along both axes."""
    down, up = [], []
    for axis, piece in enumerate(frame.piece):
        samples, width = np.arange(piece.start, piece.stop, dtype=float), max(1.0, frame.cell[axis])
        down.append(tents(frame.centres(axis), samples, width))
        up.append(tents(samples, frame.centres(axis), width))
    return down, up


sides = st.floats(-30, 130, width=32)


@settings(max_examples=60, deadline=None)
@given(st.tuples(sides, sides, sides, sides), st.tuples(st.integers(1, 90), st.integers(1, 90)), st.booleans())
def test_cells_and_samples_are_means_of_those_around(
    corners: tuple[float, ...], window: tuple[int, int], holes: bool
) -> None:
    random = np.random.default_rng(window)
    box = np.sort(np.reshape(corners, (2, 2)), axis=0)
    frame = Frame.around(np.clip(box, -0.5, np.subtract(window, 0.5)), window)
    valid = random.random(window) > (0.3 if holes else -1)
    view = View(np.where(valid, random.random((2, *window), np.float32), 0), valid, (1.0, 1.0))
    (rows, columns), (tall, wide) = dense(frame)
    share = rows @ valid[frame.piece] @ columns.T
    expected = rows @ view.samples[:, *frame.piece] @ columns.T / np.maximum(share, 1e-3)
    cells, known = frame.gather(view)
    np.testing.assert_allclose(cells, expected, atol=1e-4)
    assert not (known & (share < 0.499)).any()
    np.testing.assert_allclose(frame.pick(valid), share, atol=1e-5)
    np.testing.assert_allclose(frame.spread(cells[0]), tall @ cells[0] @ wide.T, atol=1e-4)


def test_a_part_of_a_larger_array_is_gathered_like_a_copy_of_it() -> None:
    samples = np.random.default_rng(0).random((3, 90, 80), np.float32)
    part = View(samples[:, 10:70, 5:65], np.ones((60, 60), bool), (1.0, 1.0))
    copy = View(part.samples.copy(), part.valid, part.spacing)
    frame = Frame.around(np.array([[3.0, 8.0], [40.0, 57.5]]), part.shape)
    np.testing.assert_array_equal(frame.gather(part)[0], frame.gather(copy)[0])


@pytest.mark.parametrize("shape", [(1, 1), (3, 2, 9), (2, 30, 17)])
@pytest.mark.parametrize("sigma", [0.7, 3.0])
def test_a_blur_is_a_gaussian(shape: tuple[int, ...], sigma: float) -> None:
    values = np.random.default_rng(3).random(shape, np.float32)
    along = (0,) * (len(shape) - 2) + (sigma, sigma)
    np.testing.assert_allclose(
        blurred(values, sigma), ndimage.gaussian_filter(values, along, mode="nearest"), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(1, 1), (4, 6), (2, 5, 8), (2, 8, 7)])
def test_half_as_many_samples_are_means_of_four(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(3).random(shape, np.float32)
    even = np.pad(values, [(0, 0)] * (len(shape) - 2) + [(0, n % 2) for n in shape[-2:]], mode="edge")
    fours = even.reshape(*shape[:-2], even.shape[-2] // 2, 2, even.shape[-1] // 2, 2)
    np.testing.assert_allclose(halved(values), fours.mean(axis=(-3, -1)), atol=1e-6)


def test_between_samples_values_are_read_linearly() -> None:
    random = np.random.default_rng(3)
    values, (y, x) = random.random((2, 9, 7), np.float32), random.uniform(-2, 11, (2, 5, 8))
    expected = [ndimage.map_coordinates(v, (y, x), order=1, mode="nearest") for v in values]
    np.testing.assert_allclose(read(values, y, x), expected, atol=1e-6)


def test_shapes_that_are_cut_off_are_those_shapes_stretched() -> None:
    whole = shapes.library()
    cut = whole.continued(np.array([[True, False], [False, True]]))
    count, values = len(whole.masks), np.random.default_rng(3).random((2, shapes.SIDE**2), np.float32)
    assert len(cut.prior) == len(cut.sides) == len(cut.upright) == 4 * count
    for n, view in enumerate(cut.views):
        np.testing.assert_allclose(cut.sums(values)[n * count :][:count], whole.masks[:, view] @ values.T, rtol=1e-3)
        weights = np.eye(4 * count, dtype=np.float32)[n * count + 6]
        np.testing.assert_allclose(cut.mean(weights), whole.masks[6, view], atol=1e-6)


def test_water_from_the_middle_of_a_box_stops_at_its_shore() -> None:
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2 + 0.5
    inside = (np.abs(y) + np.abs(x)) < 26
    colours = np.where(inside, 70, 30).astype(np.float32)[None]
    features = Features(colours, np.ones((SIDE, SIDE), bool), Palette.of(colours, 20, 6.0))
    mask = flooded(features) > 0.5
    assert np.count_nonzero(mask != inside) < 0.1 * np.count_nonzero(inside)
    assert filled(mask.astype(np.float32)) == pytest.approx((51 / 64) ** 2, abs=0.06)


def plainly(x: NDArray, target: NDArray, hold: NDArray, links: NDArray, sweeps: int) -> NDArray:
    """Red-black over-relaxation, one colour after the other."""
    x = np.where(hold < FIXED, x, target).astype(float)
    red = np.indices(x.shape).sum(axis=0) % 2 == 0
    for turn in range(2 * sweeps):
        weight, total = hold.astype(float), hold * target.astype(float)
        for axis in range(x.ndim):
            link = links[axis].astype(float)
            link[(slice(None),) * axis + (-1,)] = 0
            weight = weight + link + np.roll(link, 1, axis)
            total = total + link * np.roll(x, -1, axis) + np.roll(link, 1, axis) * np.roll(x, 1, axis)
        ours = (red == (turn % 2 == 0)) & (hold < FIXED)
        x = np.where(ours, x + OVERSHOOT * (total / weight - x), x)
    return x


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (8, 1), (7, 5), (30, 31), (40, 200), (1, 6, 7), (5, 1, 4), (6, 7, 9)]
)
@pytest.mark.parametrize("fixed", [0.0, 0.4, 0.97, 1.0])
def test_the_membrane_is_relaxed_as_it_is_plainly(shape: tuple[int, ...], fixed: float) -> None:
    random = np.random.default_rng([len(shape), *shape])
    start, target, sure = (random.random(shape, np.float32) for _ in range(3))
    hold = np.where(sure < fixed, FIXED, random.uniform(0.05, 2, shape)).astype(np.float32)
    links = random.random((len(shape), *shape), np.float32)
    before = start.copy()
    found = relax(start, target, hold, links, 6)
    np.testing.assert_allclose(found, plainly(start, target, hold, links, 6), atol=2e-5)
    np.testing.assert_array_equal(start, before, "what it starts from is left as it was")
    np.testing.assert_allclose(found[hold >= FIXED], target[hold >= FIXED], atol=1e-5)


def test_rows_that_may_move_here_and_there_leave_the_others_as_they_are() -> None:
    hold = np.full((60, 90), FIXED, np.float32)
    hold[5, 3:6] = hold[20:22, 40:80] = hold[41, [0, 89]] = 0.1
    random = np.random.default_rng(4)
    start, links = random.random(hold.shape, np.float32), random.random((2, *hold.shape), np.float32)
    found = relax(start, start, hold, links, 12)
    np.testing.assert_allclose(found[hold >= FIXED], start[hold >= FIXED], atol=1e-5)
    np.testing.assert_allclose(found, plainly(start, start, hold, links, 12), atol=2e-5)


def test_the_best_closed_path_is_the_best_of_all() -> None:
    gain = np.zeros((16, 9), np.float32)
    way = np.array([4, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1, 1, 2, 3, 4])
    gain[np.arange(16), way] = 1
    np.testing.assert_array_equal(trace(gain, 3, 0.05), way)
    alone = np.zeros((8, 30), np.float32)
    alone[3, 25] = 0.5  # too far from the others to be worth the way
    alone[:, 4] += 1
    np.testing.assert_array_equal(trace(alone, 3, 0.05), np.full(8, 4))


def test_the_ground_is_made_once_and_weighs_what_it_says() -> None:
    view = View(np.random.default_rng(2).random((3, 120, 700), np.float32), np.ones((120, 700), bool), (1.0, 1.0))
    sight = Sight(view)
    ground = sight.ground
    assert sight.ground is ground
    held = sum(part.nbytes for part in (ground.known, ground.palette.index, ground.links))
    assert held == Ground.nbytes_of(view.shape)
    pyramid = sum(samples.nbytes + share.nbytes for samples, share in sight.pyramid)
    assert held + pyramid <= sight.nbytes <= 1.1 * (held + pyramid + view.valid.nbytes)


@pytest.mark.parametrize("kind", ["blob", "crumbs", "everything", "corner", "nothing"])
def test_what_is_counted_over_a_guess_is_what_plain_morphology_finds(kind: str) -> None:
    shape, random = (9, 14, 11), np.random.default_rng(5)
    z, y, x = np.indices(shape)
    guess = {
        "blob": (z - 4) ** 2 + (y - 6) ** 2 + (x - 5) ** 2 < 14,
        "crumbs": random.random(shape) < 0.1,
        "everything": np.ones(shape, bool),
        "corner": (z < 1) & (y > 11) & (x > 8),
        "nothing": np.zeros(shape, bool),
    }[kind]
    grid = WorkGrid.over(Window.of(shape), (2.0, 1.0, 1.0), 10_000)
    valid, allowed = random.random(shape) < 0.9, random.random(shape) < 0.8
    scene = Scene(grid, random.random(shape, np.float32), valid, allowed, valid & (z == 4))
    tally = Tally.of(scene, guess)
    ring = dilated(guess, RING_CELLS) & ~guess & valid
    first = dilated(guess)
    rims = first & ~eroded(guess), dilated(first) & ~first
    for found, mask in zip(tally.bins, (guess, ring, guess & allowed), strict=True):
        np.testing.assert_array_equal(found, np.bincount(scene.bins[mask], minlength=len(found)))
    for (cells, total, squares), mask in zip(tally.tones, (guess, ring), strict=True):
        tones = scene.tone[mask].astype(float)
        np.testing.assert_allclose((cells, total, squares), (mask.sum(), tones.sum(), (tones**2).sum()))
    for (cells, steep), mask in zip(tally.rims, rims, strict=True):
        np.testing.assert_allclose((cells, steep), (mask.sum(), scene.steepness[mask].sum()), rtol=1e-5)
    inside = 0
    for axis in range(3):
        here, may = np.moveaxis(guess, axis, 0), np.moveaxis(allowed, axis, 0)
        cut, contrast = here[1:] != here[:-1], np.moveaxis(scene.contrast[axis], axis, 0)[:-1]
        expected = cut.sum(), contrast[cut].sum(), (cut & ~(may[1:] & may[:-1])).sum()
        np.testing.assert_allclose(tally.cut[axis], expected, rtol=1e-5)
        inside += (here[1:] & here[:-1]).sum()
    assert tally.within[0] == inside
