"""`basin` for images: what any prompt must give, and how well on pictures whose truth is known."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin import load
from promptile.models.basin.plane import Plane
from promptile.models.basin.plane.colours import BRIGHT, CONTRAST, DARK, adapted
from promptile.models.basin.plane.corrections import astray
from promptile.models.protocols import Masks, Promptable, View, WindowPrompt
from promptile.rendering import Rendering
from promptile.sources import open_source

NO_POINTS, NO_LABELS = np.empty((0, 2)), np.empty(0, bool)
SIZE = 200


@pytest.fixture(scope="module")
def model() -> Plane:
    return Plane()


def view(samples: NDArray[np.floating], valid: NDArray[np.bool_] | None = None) -> View:
    seen = samples[None] if samples.ndim == 2 else samples
    known = np.ones(seen.shape[1:], bool) if valid is None else valid
    return View(np.where(known, seen, 0).astype(np.float32), known, (1.0, 1.0))


def ask(model: Plane, seen: View, **prompt: NDArray | None) -> Masks:
    (embedding,) = model.embed([seen])
    given = {"points": NO_POINTS, "labels": NO_LABELS} | prompt
    return model.predict(embedding, WindowPrompt(**given))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1)


def painted(inside: NDArray[np.bool_], noise: float = 0.05) -> NDArray[np.float64]:
    """A bright object on a dark ground, with noise."""
    random = np.random.default_rng(1)
    return np.where(inside, 0.75, 0.3) + random.normal(0, noise, inside.shape)


def plane(size: int = SIZE) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    y, x = np.mgrid[:size, :size]
    return y, x


def disc(y: float = 90, x: float = 110, radius: float = 30) -> NDArray[np.bool_]:
    rows, columns = plane()
    return np.hypot(rows - y, columns - x) <= radius


def turned_roof() -> NDArray[np.bool_]:
    y, x = plane()
    along, across = (y - 100) * 0.8 + (x - 90) * 0.6, (x - 90) * 0.8 - (y - 100) * 0.6
    return (np.abs(along) <= 45) & (np.abs(across) <= 22)


def box_of(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    (spans,) = ndimage.find_objects(inside.astype(int))
    return np.array([[s.start - 0.5 for s in spans], [s.stop - 0.5 for s in spans]])


@pytest.mark.parametrize("truth", [disc(), turned_roof()], ids=["disc", "roof"])
def test_box_gives_the_object_in_it(model: Plane, truth: NDArray[np.bool_]) -> None:
    answer = ask(model, view(painted(truth)), box=box_of(truth))
    assert answer.logits.shape == (1, SIZE, SIZE)
    assert iou(answer.logits[0] > 0, truth) > 0.95


def test_an_object_of_no_shape_that_is_known(model: Plane) -> None:
    y, x = plane()
    truth = np.hypot(y - 100, x - 100) <= 30 + 22 * np.cos(5 * np.arctan2(y - 100, x - 100))
    assert iou(ask(model, view(painted(truth, 0.1)), box=box_of(truth)).logits[0] > 0, truth) > 0.9


def test_nothing_reaches_out_of_the_box(model: Plane) -> None:
    truth = disc()
    box = box_of(truth)
    box[1, 0] -= 20
    y, x = np.nonzero(ask(model, view(painted(truth)), box=box).logits[0] > 0)
    assert y.min() > box[0, 0]
    assert y.max() < box[1, 0]
    assert x.min() > box[0, 1]
    assert x.max() < box[1, 1]


@pytest.mark.parametrize("truth", [disc(), turned_roof()], ids=["disc", "roof"])
def test_one_click_offers_the_object_among_three(model: Plane, truth: NDArray[np.bool_]) -> None:
    click = np.array([ndimage.center_of_mass(truth)])
    answer = ask(model, view(painted(truth)), points=click, labels=np.array([True]))
    assert 1 <= len(answer.logits) <= 3
    assert iou(answer.logits[0] > 0, truth) > 0.9
    for a, b in itertools.combinations(answer.logits > 0, 2):
        assert iou(a, b) < 0.9, "candidates are to differ"


def test_an_object_cut_off_by_the_window(model: Plane) -> None:
    truth = disc(y=100, x=5, radius=40)
    answer = ask(model, view(painted(truth)), box=box_of(truth))
    assert iou(answer.logits[0] > 0, truth) > 0.93


def test_a_box_larger_than_the_window(model: Plane) -> None:
    truth = disc(y=100, x=100, radius=150)
    answer = ask(model, view(painted(truth)), box=np.array([[-50.0, -50.0], [250.0, 250.0]]))
    assert iou(answer.logits[0] > 0, truth) > 0.9


def test_a_correction_changes_only_what_is_near(model: Plane) -> None:
    truth = disc()
    earlier = np.where(truth & ~disc(y=65, x=110, radius=14), 4.0, -4.0).astype(np.float32)
    click = {"points": np.array([[68.0, 110.0]]), "labels": np.array([True])}
    answer = ask(model, view(painted(truth)), mask=earlier, **click).logits[0]
    assert iou(answer > 0, truth) > max(0.95, iou(earlier > 0, truth))
    y, x = plane()
    far = np.hypot(y - 68, x - 110) > 80
    np.testing.assert_array_equal(answer[far], earlier[far])


def test_a_negative_click_takes_away(model: Plane) -> None:
    truth, other = disc(x=70), disc(x=150)
    earlier = np.where(truth | other, 4.0, -4.0).astype(np.float32)
    answer = ask(
        model,
        view(painted(truth | other)),
        mask=earlier,
        points=np.array([[90.0, 150.0], [90.0, 70.0]]),
        labels=np.array([False, True]),
    )
    assert iou(answer.logits[0] > 0, truth) > 0.85


def test_a_negative_click_leaves_most_where_everything_looks_alike(model: Plane) -> None:
    earlier = np.where(disc(radius=12), 4.0, -4.0).astype(np.float32)
    off = {"points": np.array([[90.0, 110.0]]), "labels": np.array([False])}
    flat = view(np.full((SIZE, SIZE), 0.4))
    left = ask(model, flat, box=box_of(disc(radius=12)), mask=earlier, **off).logits[0] > 0
    assert not left[90, 110]
    assert np.count_nonzero(earlier > 0) / 2 <= np.count_nonzero(left) < np.count_nonzero(earlier > 0)


def test_a_click_deep_in_a_wrong_answer_starts_again(model: Plane) -> None:
    truth = disc(y=100, x=60, radius=12)
    wrong = np.where(disc(y=100, x=100, radius=60), 4.0, -4.0).astype(np.float32)
    points, labels = np.array([[100.0, 60.0], [100.0, 120.0]]), np.array([True, False])
    answer = ask(model, view(painted(truth)), mask=wrong, points=points, labels=labels).logits[0]
    assert iou(answer > 0, truth) > 0.9


@pytest.mark.parametrize(("low", "expected"), [(0, False), (1, True)], ids=["cut off by the window", "whole"])
def test_only_answers_that_lie_in_the_window_are_started_again(low: int, expected: bool) -> None:
    answer = np.full((SIZE, SIZE), -4, np.float32)
    answer[50:150, low:100] = 4
    assert astray(answer, np.array([[100.0, 50.0]]), np.array([False])) == expected


def test_clicks_are_kept(model: Plane) -> None:
    points = np.array([[90.0, 110.0], [20.0, 20.0], [95.0, 120.0]])
    labels = np.array([True, True, False])
    (logits,) = ask(model, view(painted(disc())), box=box_of(disc()), points=points, labels=labels).logits
    assert [logits[int(y), int(x)] > 0 for y, x in points] == labels.tolist()


def test_clicks_a_sample_apart_are_kept(model: Plane) -> None:
    truth = disc(radius=4)
    points = np.array([[94.0, 107.0], [92.0, 106.0], [91.0, 113.0], [94.0, 109.0], [93.0, 106.0]])
    labels = np.array([True, True, True, False, False])
    (logits,) = ask(model, view(painted(truth)), box=box_of(truth), points=points, labels=labels).logits
    assert [logits[int(y), int(x)] > 0 for y, x in points] == labels.tolist()


def test_the_answer_to_a_box_stands_where_clicks_agree_with_it(model: Plane) -> None:
    truth = disc(radius=4)
    seen, box = view(painted(truth)), box_of(truth)
    (first,) = ask(model, seen, box=box).logits
    click = {"points": np.array([[90.0, 110.0]]), "labels": np.array([True])}
    np.testing.assert_array_equal(ask(model, seen, box=box, mask=first, **click).logits[0], first)


def river(size: int = 512) -> NDArray[np.bool_]:
    y, x = plane(size)
    return np.abs(y - size / 2 - 60 * np.sin(x / 55)) <= 6


def lake(size: int = 512) -> NDArray[np.bool_]:
    y, x = plane(size)
    bays = 130 + 25 * np.sin(5 * np.arctan2(y - 250, x - 240))
    island = np.hypot(y - 250, x - 300) <= 25
    return (np.hypot(y - 250, x - 240) <= bays) & ~island


def wide_lake(size: int = 640) -> NDArray[np.bool_]:
    """Longer than contours reach from a click, most of it seen from there, cut off by the window."""
    y, x = plane(size)
    bank = 110 + 20 * np.sin(x / 40)
    return (np.abs(y - 280) <= bank) & (x >= 60) & (np.hypot(y - 250, x - 430) > 30)


@pytest.mark.parametrize("truth", [river(), lake()], ids=["river", "lake"])
@pytest.mark.parametrize("strip", [40, 200])
def test_growth_goes_on_where_the_neighbour_ended(model: Plane, truth: NDArray[np.bool_], strip: int) -> None:
    known = np.zeros(truth.shape, np.float32)
    first = 0 if truth[:, 0].any() else int(np.flatnonzero(truth.any(axis=0))[0])
    shown = slice(0, first + strip)
    known[:, shown] = np.where(truth[:, shown], 5, -5)
    y, x = np.argwhere(truth[:, shown])[np.count_nonzero(truth[:, shown]) // 2]
    answer = ask(
        model, view(painted(truth, 0.08)), mask=known, points=np.array([[y, x]], float), labels=np.array([True])
    ).logits[0]
    assert iou(answer > 0, truth) > 0.9
    assert iou(answer[:, -40:] > 0, truth[:, -40:]) > 0.85 or not truth[:, -40:].any()
    assert iou(answer[:, shown] > 0, truth[:, shown]) > 0.97


def test_growth_leaves_likes_that_are_not_joined(model: Plane) -> None:
    truth, other = disc(x=60), disc(x=150)
    known = np.zeros(truth.shape, np.float32)
    known[:, :50] = np.where(truth[:, :50], 5, -5)
    answer = ask(model, view(painted(truth | other)), mask=known).logits[0]
    assert iou(answer > 0, truth) > 0.93


def test_one_click_into_a_river_follows_it(model: Plane) -> None:
    truth = river()
    y = int(np.flatnonzero(truth[:, 200]).mean())
    answer = ask(model, view(painted(truth)), points=np.array([[y, 200.0]]), labels=np.array([True]))
    assert iou(answer.logits[0] > 0, truth) > 0.8


def test_one_click_into_a_lake_that_contours_cannot_reach_round(model: Plane) -> None:
    truth = wide_lake()
    answer = ask(model, view(painted(truth)), points=np.array([[300.0, 230.0]]), labels=np.array([True]))
    assert iou(answer.logits[0] > 0, truth) > 0.95


def test_two_clicks_into_a_lake_and_one_on_its_island(model: Plane) -> None:
    truth = wide_lake()
    points = np.array([[300.0, 230.0], [250.0, 560.0], [250.0, 430.0]])
    assert truth[tuple(points.astype(int).T)].tolist() == [True, True, False]
    answer = ask(model, view(painted(truth)), points=points, labels=np.array([True, True, False]))
    assert iou(answer.logits[0] > 0, truth) > 0.95


def test_the_ground_between_objects_is_not_taken_for_one(model: Plane) -> None:
    y, x = plane(512)
    holes = (np.hypot(y % 64 - 32, x % 64 - 32) <= 20) & (y < 500)
    answer = ask(model, view(painted(holes)), points=np.array([[256.0, 256.0]]), labels=np.array([True]))
    assert all((logits > 0).mean() < 0.5 for logits in answer.logits)


@pytest.mark.parametrize("side", [12, 24, 48])
def test_where_the_image_shows_nothing_a_square_box_holds_a_disc(model: Plane, side: int) -> None:
    box = np.array([[100, 100], [100 + side, 100 + side]]) - 0.5
    expected = disc(100 + side / 2 - 0.5, 100 + side / 2 - 0.5, side / 2)
    answer = ask(model, view(np.full((SIZE, SIZE), 0.4)), box=box).logits[0]
    assert iou(answer > 0, expected) > 0.93


def test_a_square_roof_in_its_box_stays_square(model: Plane) -> None:
    y, x = plane()
    truth = (np.abs(y - 90) <= 20) & (np.abs(x - 110) <= 20)
    assert iou(ask(model, view(painted(truth)), box=box_of(truth)).logits[0] > 0, truth) > 0.93


def test_a_coarse_mask_becomes_finer(model: Plane) -> None:
    truth = disc()
    coarse = truth[3::8, 3::8].repeat(8, axis=0).repeat(8, axis=1)
    answer = ask(model, view(painted(truth)), mask=np.where(coarse, 6.0, -6.0).astype(np.float32)).logits[0]
    assert iou(answer > 0, truth) > max(0.95, iou(coarse, truth))


def test_no_data_is_no_object(model: Plane) -> None:
    truth = disc()
    valid = plane()[1] < 110
    seen = view(painted(truth), valid)
    for prompt in ({"box": box_of(truth)}, {"points": np.array([[90.0, 100.0]]), "labels": np.array([True])}):
        answer = ask(model, seen, **prompt)
        assert not (answer.logits[:, ~valid] > 0).any()
        assert iou(answer.logits[0] > 0, truth & valid) > 0.85


def test_the_same_question_has_the_same_answer_in_any_thread(model: Plane) -> None:
    seen = view(painted(turned_roof()))
    (embedding,) = model.embed([seen])
    questions = [
        WindowPrompt(NO_POINTS, NO_LABELS, box_of(turned_roof())),
        WindowPrompt(np.array([[100.0, 90.0]]), np.array([True])),
    ] * 4
    alone = [Plane().predict(Plane().embed([seen])[0], q) for q in questions[:2]] * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda q: model.predict(embedding, q), questions))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.logits, b.logits)
        np.testing.assert_array_equal(a.scores, b.scores)


def test_a_negative_shows_the_same_objects(model: Plane) -> None:
    picture = painted(turned_roof())
    answers = [ask(model, view(p), box=box_of(turned_roof())).logits[0] > 0 for p in (picture, 1 - picture)]
    assert iou(*answers) > 0.98


@pytest.mark.parametrize(("step", "noise"), [(0.03, 0.0), (0.03, 0.008), (0.05, 0.02)])
def test_a_faint_object_beside_dark_and_bright_ones_is_seen(model: Plane, step: float, noise: float) -> None:
    """Like an organ in a CT that is rendered from air to bone."""
    y, x = plane()
    kidney = disc() & (np.hypot(y - 90, x - 140) > 22)
    picture = 0.4 + step * kidney + np.random.default_rng(0).normal(0, noise, kidney.shape)
    box = box_of(kidney)
    picture[: int(box[0, 0]) - 3], picture[:, : int(box[0, 1]) - 4] = 0, 1
    assert iou(ask(model, view(picture), box=box).logits[0] > 0, kidney) > 0.95


def test_eyes_adapt_where_there_is_little_contrast_only() -> None:
    random = np.random.default_rng(3)
    known = np.ones((40, 40), bool)
    rich, faint = (random.uniform(50 - h, 50 + h, (3, 40, 40)).astype(np.float32) for h in (40, 1.5))
    assert adapted(rich, known) is rich
    faint[0, 0, :3] = 0, 80, 100  # rare: no part of the contrast
    seen = adapted(faint, known)
    assert (np.argsort(seen[0], axis=None) == np.argsort(faint[0], axis=None)).all()
    assert np.ptp(np.percentile(seen[0], (DARK, BRIGHT))) == pytest.approx(CONTRAST, rel=1e-3)
    assert np.ptp(seen[0]) < 5 * CONTRAST  # not the 1,200 steps that nothing bends
    assert adapted(faint, np.zeros_like(known)) is faint


def test_one_more_channel_of_nothing_changes_little(model: Plane) -> None:
    picture = painted(turned_roof())
    flat = np.full_like(picture, 0.5)
    answers = [
        ask(model, view(np.stack(s)), box=box_of(turned_roof())).logits[0] > 0
        for s in ((picture,), (picture, flat), (picture, picture, picture, flat))
    ]
    assert min(iou(answers[0], a) for a in answers[1:]) > 0.97


BOXES = (
    None,
    np.array([[-0.5, -0.5], [0.5, 0.5]]),
    np.array([[-20.0, -20.0], [80.0, 80.0]]),
    np.array([[1.2, 0.3], [1.21, 0.31]]),
    np.array([[-30.0, -30.0], [-20.0, -20.0]]),
)
POINTS = (
    (NO_POINTS, NO_LABELS),
    (np.array([[0.0, 0.0]]), np.array([True])),
    (np.array([[-1.4, -1.4], [60.0, 60.0]]), np.array([True, False])),
    (np.array([[0.0, 0.0]]), np.array([False])),
)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (1, 30)])
@pytest.mark.parametrize("kind", ["constant", "noise", "half", "nothing"])
def test_any_prompt_on_anything_is_answered(model: Plane, shape: tuple[int, int], kind: str) -> None:
    random = np.random.default_rng(0)
    samples = np.full((3, *shape), 0.5) if kind == "constant" else random.normal(0.5, 0.5, (3, *shape))
    valid = np.full(shape, kind != "nothing")
    valid[:, : shape[1] // 2] &= kind != "half"
    seen = view(samples, valid)
    left = np.zeros(shape, np.float32)
    left[:, : max(1, shape[1] // 3)] = 5
    plain = itertools.product(BOXES, POINTS, (None,))
    masked = itertools.product(BOXES[::3], POINTS[1::2], (left, np.zeros_like(left), left - 3))
    for box, (points, labels), mask in itertools.chain(plain, masked):
        answer = ask(model, seen, points=points, labels=labels, box=box, mask=mask)
        assert answer.logits.shape == (len(answer.scores), *shape)
        assert answer.logits.dtype == np.float32
        assert np.isfinite(answer.logits).all()
        assert not (answer.logits[:, ~valid] > 0).any()
        assert (np.diff(answer.scores) <= 0).all()
        assert ((answer.scores >= 0) & (answer.scores <= 1)).all()


def test_a_small_box_in_a_large_window_does_not_pay_for_the_window(model: Plane) -> None:
    seen = view(np.random.default_rng(0).random((3, 1024, 1024)))
    box = np.array([[500.5, 500.5], [520.5, 520.5]])
    ask(model, seen, box=box)  # compiled
    start = time.perf_counter()
    answers = [ask(model, seen, box=box) for _ in range(5)]
    mine = (time.perf_counter() - start) / len(answers)
    start = time.perf_counter()
    ndimage.gaussian_gradient_magnitude(seen.samples, (0, 1, 1))
    assert mine < time.perf_counter() - start, "an answer costs less than one look at the whole window"


def test_the_embedding_says_what_it_weighs(model: Plane) -> None:
    seen = view(np.zeros((3, 256, 256)))
    (embedding,) = model.embed([seen])
    ask(model, seen, points=np.array([[100.0, 100.0]]), labels=np.array([True]))
    pyramid = sum(s.nbytes + v.nbytes for s, v in embedding.content.pyramid)
    assert pyramid <= embedding.nbytes <= 2 * pyramid


def test_the_protocol_holds() -> None:
    model = load(2)
    assert isinstance(model, Promptable)
    assert model.card.ndim == 2
    assert model.card.abilities == {"points", "box", "mask", "propose"}


@pytest.mark.data
def test_roofs_are_found_better_than_by_their_boxes(shared: Path, model: Plane) -> None:
    import geopandas as gpd
    import rasterio
    import rasterio.features

    source = open_source(shared / "geo/fair_banepa_dev/image.tif")
    window = Window((256, 256), (512, 512))
    rendering = Rendering.of(source)
    valid = source.valid(window)
    seen = View(rendering.apply(source.read(window, 0, rendering.channels), valid), valid, (1.0, 1.0))
    with rasterio.open(shared / "geo/fair_banepa_dev/image.tif") as file:
        outlines = gpd.read_file(shared / "geo/fair_banepa_dev/truth.geojson").to_crs(file.crs).geometry
        here = file.transform @ rasterio.Affine.translation(256, 256)
        inner = [rasterio.features.rasterize([o], window.shape, transform=here) > 0 for o in outlines]
    found = [t for t in inner if t.sum() > 400 and not (t[0].any() or t[-1].any() or t[:, 0].any() or t[:, -1].any())]
    values = [iou(ask(model, seen, box=box_of(t)).logits[0] > 0, t) for t in found[:20]]
    alone = [t.sum() / np.prod(np.diff(box_of(t), axis=0)) for t in found[:20]]
    assert np.mean(values) > np.mean(alone) + 0.1
