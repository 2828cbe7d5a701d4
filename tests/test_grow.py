"""Growth over tiles with perfect models: the object is the truth, whatever the tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from perfect import Perfect
from promptile.engine import evidence
from promptile.engine.embedder import Embedder
from promptile.engine.lattice import Tiling
from promptile.engine.objects import Grower, Grown
from promptile.errors import PromptError
from promptile.prompts import Prompts
from promptile.rendering import Rendering
from promptile.sources.arrays import ArraySource


def grow(truth: np.ndarray, prompts: Prompts, size: int, overlap: int, **options: bool) -> list[Grown]:
    source = ArraySource(truth, resampling="nearest")
    lattice = Tiling(size, overlap).resolve(truth.ndim)
    embedder = Embedder(source, Rendering((0,), (0.0,), (1.0,)), Perfect(truth.ndim, **options))
    return [Grower(embedder, *lattice).grow(prompt) for prompt in prompts]


def assert_is(grown: Grown, truth: np.ndarray) -> None:
    found = grown.mask.read(grown.mask.window)
    whole = np.zeros(truth.shape, bool)
    whole[grown.mask.window.slices] = found
    assert grown.mask.count == np.count_nonzero(truth)
    assert (whole == truth).all()
    assert not grown.open_edge


def river(shape: tuple[int, int], width: int) -> np.ndarray:
    """A river that meanders from left to right, label 1, `width` samples wide."""
    x = np.arange(shape[1])
    middle = shape[0] / 2 + shape[0] * 0.36 * np.sin(x / 173.0) + 9 * np.sin(x / 11.0)
    y = np.arange(shape[0])[:, None]
    steep = np.abs(np.gradient(middle))[None] / 2
    return (np.abs(y - middle[None]) <= width / 2 + steep).astype(np.uint8)


TILINGS = [(64, 16), (64, 32), (128, 100), (256, 16), (333, 57), (1024, 256), (1024, 512)]


@pytest.mark.parametrize(("size", "overlap"), TILINGS)
@pytest.mark.parametrize("pieces", [False, True])
def test_a_river_through_many_tiles_is_one_object(size: int, overlap: int, pieces: bool) -> None:
    truth = river((300, 2700), 7)
    start = (float(np.flatnonzero(truth[:, 40]).mean().round()), 40.0)
    (grown,) = grow(truth, Prompts.of(points=[start]), size, overlap, pieces=pieces)
    assert_is(grown, truth == 1)
    if size == 64 and overlap == 16:
        assert grown.tiles >= 40


@pytest.mark.parametrize("width", [1, 2])
def test_a_thin_river(width: int) -> None:
    truth = river((300, 1200), width)
    x = 7
    start = (float(np.flatnonzero(truth[:, x])[0]), float(x))
    (grown,) = grow(truth, Prompts.of(points=[start]), 64, 16)
    assert_is(grown, truth == 1)


def ring(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    r = np.hypot(y - shape[0] / 2, x - shape[1] / 2)
    return ((r < shape[0] * 0.45) & (r > shape[0] * 0.3)).astype(np.uint8)


@pytest.mark.parametrize(("size", "overlap"), TILINGS)
@pytest.mark.parametrize("pieces", [False, True])
def test_an_object_with_a_hole(size: int, overlap: int, pieces: bool) -> None:
    truth = ring((500, 500))
    (grown,) = grow(truth, Prompts.of(points=[(250, 60)]), size, overlap, pieces=pieces)
    assert_is(grown, truth == 1)


@pytest.mark.parametrize(("size", "overlap"), TILINGS)
def test_two_objects_that_touch_stay_two(size: int, overlap: int) -> None:
    truth = np.zeros((400, 700), np.uint8)
    truth[50:350, 30:333] = 1
    truth[50:350, 333:690] = 2
    prompts = Prompts.of(points=[(200, 320), (200, 345)])
    first, second = grow(truth, prompts, size, overlap)
    assert_is(first, truth == 1)
    assert_is(second, truth == 2)


def test_objects_that_touch_at_a_corner() -> None:
    truth = np.zeros((200, 200), np.uint8)
    truth[:96, :96] = 1
    truth[96:, 96:] = 2
    first, second = grow(truth, Prompts.of(points=[(50, 50), (150, 150)]), 64, 16, pieces=True)
    assert_is(first, truth == 1)
    assert_is(second, truth == 2)


@pytest.mark.parametrize("pieces", [False, True])
def test_an_arm_that_leaves_a_tile_and_comes_back(pieces: bool) -> None:
    """A hairpin: both arms pass the first tile, and are joined far outside of it.

    ::

        ooooooooooooooooooooo
                            o
        ooooooooooooooooooooo
    """
    truth = np.zeros((64, 400), np.uint8)
    truth[20:24, :380] = 1
    truth[40:44, :380] = 1
    truth[20:44, 376:380] = 1
    (grown,) = grow(truth, Prompts.of(points=[(22, 5)]), 64, 16, pieces=pieces)
    assert_is(grown, truth == 1)


def test_clicks_on_far_parts_of_one_object() -> None:
    truth = np.zeros((100, 900), np.uint8)
    truth[40:60, 20:60] = 1
    truth[40:60, 800:860] = 1
    prompts = Prompts.of(points=[(50, 30), (50, 830)], objects=[7, 7])
    (grown,) = grow(truth, prompts, 64, 16, pieces=True)
    assert_is(grown, truth == 1)


@pytest.mark.parametrize(("size", "overlap"), [(64, 16), (64, 32), (96, 50), (256, 128)])
def test_a_box_larger_than_a_tile(size: int, overlap: int) -> None:
    y, x = np.ogrid[:700, :900]
    truth = (((y - 350) / 250) ** 2 + ((x - 450) / 400) ** 2 < 1).astype(np.uint8)
    truth[330:370, 400:470] = 0
    rows, columns = np.nonzero(truth)
    box = [[rows.min() - 0.5, columns.min() - 0.5], [rows.max() + 0.5, columns.max() + 0.5]]
    (grown,) = grow(truth, Prompts.of(boxes=[box]), size, overlap)
    assert grown.level > 0
    assert_is(grown, truth == 1)


@pytest.mark.parametrize(("size", "overlap"), [(16, 4), (24, 12), (32, 16), (64, 16)])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_vessel_in_a_volume(size: int, overlap: int, pieces: bool) -> None:
    z, y, x = np.ogrid[:60, :70, :80]
    truth = np.zeros((60, 70, 80), np.uint8)
    turn = z / 9.0
    truth[np.hypot(y - 35 - 20 * np.sin(turn), x - 40 - 25 * np.cos(turn)) < 4] = 1
    truth[np.hypot(y - 35 + 20 * np.sin(turn), x - 40 + 25 * np.cos(turn)) < 4] = 2
    start = np.argwhere(truth == 1)[0].astype(float)
    (grown,) = grow(truth, Prompts.of(points=[start]), size, overlap, pieces=pieces)
    assert_is(grown, truth == 1)


def test_a_box_in_a_volume_larger_than_a_tile() -> None:
    z, y, x = np.ogrid[:50, :90, :90]
    truth = (((z - 25) / 20) ** 2 + ((y - 45) / 40) ** 2 + ((x - 45) / 40) ** 2 < 1).astype(np.uint8)
    where = np.argwhere(truth)
    box = [where.min(axis=0) - 0.5, where.max(axis=0) + 0.5]
    (grown,) = grow(truth, Prompts.of(boxes=[box]), 32, 16)
    assert grown.level > 0
    assert_is(grown, truth == 1)


def test_where_two_answers_disagree_the_edge_is_open() -> None:
    class Fickle(Perfect):
        """Sees nothing in the right half of the image."""

        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            return masks if (embedding.content < 9).all() else type(masks)(-abs(masks.logits), masks.scores)

    truth = np.zeros((64, 300), np.uint8)
    truth[20:40, 10:280] = 1
    truth[60:, 130:] = 9
    source = ArraySource(truth, resampling="nearest")
    embedder = Embedder(source, Rendering((0,), (0.0,), (1.0,)), Fickle(2))
    grown = Grower(embedder, (64, 64), (16, 16)).grow(next(iter(Prompts.of(points=[(30, 20)]))))
    assert grown.open_edge
    assert 0 < grown.mask.count < np.count_nonzero(truth == 1)
    assert not grown.mask.read(grown.mask.window)[:, 130:].any()


@st.composite
def scenes(draw: st.DrawFn, ndim: int) -> np.ndarray:
    """Random connected objects: winding, with holes, touching the border, thin in places."""
    longest = 150 if ndim == 2 else 36
    shape = draw(st.tuples(*[st.integers(20, longest)] * ndim))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=shape)
    blur = draw(st.floats(0.6, 4.0))
    smooth = ndimage.gaussian_filter(noise, blur)
    mask = smooth > np.quantile(smooth, draw(st.floats(0.3, 0.9)))
    return ndimage.label(mask, np.ones((3,) * ndim))[0].astype(np.int32)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("pieces", [False, True])
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_any_connected_object_from_any_click_in_any_tiling(ndim: int, pieces: bool, drawn: st.DataObject) -> None:
    truth = drawn.draw(scenes(ndim))
    size = drawn.draw(st.integers(16, 64 if ndim == 2 else 32), label="size")
    overlap = drawn.draw(st.integers(4, size // 2), label="overlap")
    where = np.argwhere(truth)
    if not len(where):
        return
    click = where[drawn.draw(st.integers(0, len(where) - 1), label="click")]
    (grown,) = grow(truth, Prompts.of(points=[click]), size, overlap, pieces=pieces)
    assert_is(grown, truth == truth[tuple(click)])


@pytest.mark.parametrize("seed", range(4))
def test_where_a_piece_of_noise_is_lost_in_tiny_tiles_the_edge_is_open(seed: int) -> None:
    """A model that knows pieces only errs in a few of a hundred of these objects, and then it is said."""
    for number in range(8 * seed, 8 * seed + 8):
        random = np.random.default_rng(number)
        smooth = ndimage.gaussian_filter(random.normal(size=(90, 140)), 0.65)
        truth = ndimage.label(smooth > np.quantile(smooth, 0.4), np.ones((3, 3)))[0].astype(np.int32)
        places = np.argwhere(truth)
        click = places[random.integers(len(places))]
        (grown,) = grow(truth, Prompts.of(points=[click]), 16, 4, pieces=True)
        if not grown.open_edge:
            assert_is(grown, truth == truth[tuple(click)])


def test_clicks_where_there_is_no_data_are_no_clicks() -> None:
    truth = np.full((60, 200), np.nan, np.float32)
    truth[:, 80:] = 0
    truth[20:40, 100:150] = 1
    both = Prompts.of(points=[(30, 20), (30, 120)], objects=[1, 1])
    source = ArraySource(truth, resampling="nearest")
    model = Perfect(2)
    model.predict = lambda embedding, prompt: Perfect(2).predict(  # type: ignore[method-assign]
        replace(embedding, content=np.nan_to_num(embedding.content).astype(int)), prompt
    )
    grower = Grower(Embedder(source, Rendering((0,), (0.0,), (1.0,)), model), (256, 256), (128, 128))
    assert grower.grow(next(iter(both))).mask.count == 1000
    with pytest.raises(PromptError, match="no data"):
        grower.grow(next(iter(Prompts.of(points=[(30, 20)]))))


def test_a_window_is_asked_again_as_long_as_it_learns() -> None:
    """Noise in tiny tiles: one window learns of its pieces one after the other, from four neighbours."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(46, 101)), 0.625)
    truth = ndimage.label(smooth > np.quantile(smooth, 0.5), np.ones((3, 3)))[0].astype(np.int32)
    (grown,) = grow(truth, Prompts.of(points=[(0, 0)]), 16, 6, pieces=True)
    assert_is(grown, truth == truth[0, 0])


def test_what_misses_nothing_is_not_taken_to_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than all else that is compared where an object grows through hundreds of windows."""
    mine = np.zeros((20, 20), bool)
    mine[2:6, 2:6] = mine[9:12, 9:18] = True
    theirs = mine.copy()
    theirs[10:12, 9:18] = False
    assert evidence.most_missed(mine, theirs) == pytest.approx(2 / 3)
    assert evidence.most_missed(theirs, mine) == 0
    monkeypatch.setattr(evidence, "_pieces", None)
    assert evidence.most_missed(theirs, mine) == 0
