"""The 3D half of `basin`: what must hold for any prompt, and that simple objects are found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from promptile.grid import Window
from promptile.models.basin import load
from promptile.models.basin.solid.growth import partial
from promptile.models.basin.solid.masks import tidied
from promptile.models.basin.solid.sections import section
from promptile.models.basin.solid.tally import depths
from promptile.models.basin.solid.workgrid import WorkGrid
from promptile.models.protocols import Masks, Promptable, View, WindowPrompt

NOTHING = np.zeros((0, 3)), np.zeros(0, bool)
SHAPES = [(10, 12, 14), (3, 5, 5), (1, 12, 14), (1, 1, 1), (2, 30, 1)]


@pytest.fixture(scope="module")
def model() -> Promptable:
    return load(3)


def ask(model: Promptable, view: View, prompt: WindowPrompt) -> Masks:
    (embedding,) = model.embed([view])
    return model.predict(embedding, prompt)


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    (spans,) = ndimage.find_objects(mask.astype(np.uint8))
    return np.array([[s.start - 0.5 for s in spans], [s.stop - 0.5 for s in spans]])


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


def ball(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), noise: float = 0.1) -> tuple[View, NDArray[np.bool_]]:
    """A bright ellipsoid of 12, 10 and 8 mm in a dark cube of 40 mm, sampled at `spacing`."""
    shape = [round(40 / s) for s in spacing]
    z, y, x = (((np.arange(n) + 0.5) * s - 20) / r for n, s, r in zip(shape, spacing, (12, 10, 8), strict=True))
    truth = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= 1
    samples = 0.3 + 0.5 * truth + np.random.default_rng(0).normal(0, noise, truth.shape)
    return View(samples.astype(np.float32)[None], np.ones(truth.shape, bool), spacing), truth


def tube() -> tuple[View, NDArray[np.bool_]]:
    """A bright tube that bends through a noisy volume from its first slice to its last."""
    z, y, x = np.mgrid[:64, :40, :40]
    truth = (y - 20 - 6 * np.sin(z / 12)) ** 2 + (x - 20 - z / 10) ** 2 <= 16
    samples = 0.3 + 0.4 * truth + np.random.default_rng(1).normal(0, 0.08, truth.shape)
    return View(samples.astype(np.float32)[None], np.ones(truth.shape, bool), (1.0, 1.0, 1.0)), truth


def prompts(shape: tuple[int, ...]) -> dict[str, WindowPrompt]:
    last, middle = np.array(shape) - 0.5, np.array(shape) / 2 - 0.5
    whole = np.stack([np.full(3, -0.5), last])
    slab = whole.copy()
    slab[:, 0] = np.array([-0.5, 0.5]) + np.floor(middle[0])
    one = np.ones(1, bool)
    stripes = np.where(np.arange(np.prod(shape)).reshape(shape) % 7 < 3, 4, -4).astype(np.float32)
    known = np.zeros(shape, np.float32)
    known[: max(shape[0] // 3, 1)] = 3
    return {
        "box": WindowPrompt(*NOTHING, box=whole),
        "box of one voxel": WindowPrompt(*NOTHING, box=np.floor(middle) + [[-0.5], [0.5]] * np.ones(3)),
        "box partly outside": WindowPrompt(*NOTHING, box=np.stack([middle, last + 20])),
        "box far outside": WindowPrompt(*NOTHING, box=np.stack([last + 5, last + 20])),
        "box in one slice": WindowPrompt(*NOTHING, box=slab),
        "click": WindowPrompt(middle[None], one),
        "click on the border": WindowPrompt(np.zeros((1, 3)), one),
        "click slightly outside": WindowPrompt(last[None] + 0.4, one),
        "clicks": WindowPrompt(np.stack([middle, 0 * middle, last]), np.array([True, False, True])),
        "box and a negative": WindowPrompt(middle[None], ~one, box=whole),
        "only a negative": WindowPrompt(middle[None], ~one),
        "nothing": WindowPrompt(*NOTHING),
        "mask": WindowPrompt(*NOTHING, mask=stripes),
        "mask and a negative": WindowPrompt(middle[None], ~one, mask=np.full(shape, 4, np.float32)),
        "mask and clicks": WindowPrompt(
            np.stack([middle, 0 * middle, last + 3]), np.array([True, False, False]), mask=stripes
        ),
        "mask and contradicting clicks": WindowPrompt(
            np.stack([middle, middle]), np.array([False, True]), mask=stripes
        ),
        "empty mask and a positive": WindowPrompt(middle[None], one, mask=np.full(shape, -4, np.float32)),
        "partial mask": WindowPrompt(np.zeros((1, 3)), one, mask=known),
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", list(prompts((2, 2, 2))))
def test_any_prompt_gets_an_answer(model: Promptable, shape: tuple[int, int, int], kind: str) -> None:
    random = np.random.default_rng(0)
    for samples in (np.zeros((1, *shape)), random.normal(size=(2, *shape))):
        for valid in (np.ones(shape, bool), np.zeros(shape, bool), random.random(shape) > 0.5):
            view = View((samples * valid).astype(np.float32), valid, (2.0, 1.0, 0.5))
            masks = ask(model, view, prompts(shape)[kind])
            assert masks.logits.dtype == np.float32
            assert masks.logits.shape == (len(masks.scores), *shape)
            assert np.isfinite(masks.logits).all()
            assert not (masks.logits[:, ~valid] > 0).any()
            assert (np.diff(masks.scores) <= 0).all()
            assert ((masks.scores >= 0) & (masks.scores <= 1)).all()


def test_a_box_finds_the_object_in_it(model: Promptable) -> None:
    view, truth = ball()
    assert dice(ask(model, view, WindowPrompt(*NOTHING, box=box_of(truth))).logits[0] > 0, truth) > 0.95


def test_nothing_lies_outside_the_box(model: Promptable) -> None:
    view, truth = ball()
    box = box_of(truth) * 0.5 + 8
    inside = np.zeros(truth.shape, bool)
    inside[tuple(slice(int(np.ceil(a)), int(np.floor(b)) + 1) for a, b in box.T)] = True
    assert not (ask(model, view, WindowPrompt(*NOTHING, box=box)).logits[:, ~inside] > 0).any()


def test_a_box_in_one_slice_finds_more_than_the_slice(model: Promptable) -> None:
    view, truth = ball()
    box = box_of(truth)
    box[:, 0] = [19.5, 20.5]
    assert dice(ask(model, view, WindowPrompt(*NOTHING, box=box)).logits[0] > 0, truth) > 0.85


def slanted() -> tuple[View, NDArray[np.bool_]]:
    """A bright bar across the diagonal of its box, of which it fills little."""
    z, y, x = np.mgrid[:32, :48, :48]
    truth = (abs(z - 15.5) < 8) & (abs(y - x) < 7) & (abs(y + x - 47) < 32)
    samples = 0.3 + 0.4 * truth + np.random.default_rng(2).normal(0, 0.05, truth.shape)
    return View(samples.astype(np.float32)[None], np.ones(truth.shape, bool), (1.0, 1.0, 1.0)), truth


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_in_one_slice_follows_the_section_there(model: Promptable, axis: int) -> None:
    view, truth = slanted()
    turned = View(np.moveaxis(view.samples, 1, axis + 1).copy(), np.moveaxis(view.valid, 0, axis), view.spacing)
    truth = np.moveaxis(truth, 0, axis)
    box = box_of(truth)
    box[:, axis] = [15.5, 16.5]
    assert dice(ask(model, turned, WindowPrompt(*NOTHING, box=box)).logits[0] > 0, truth) > 0.85


def test_a_section_is_deep_inside_and_far_outside() -> None:
    view, truth = slanted()
    box = box_of(truth)
    box[:, 0] = [15.5, 16.5]
    radius = section(view, box, 0)
    assert dice(radius < 1, truth[16]) > 0.95
    assert radius.min() == 0
    assert radius[12, 35] > 1.5  # in the box, not in the bar
    assert radius[12, 35] < radius[0, 47]


def test_where_a_slice_shows_nothing_its_section_is_the_ellipse() -> None:
    view, _ = slanted()
    dark = View(view.samples, np.zeros_like(view.valid), view.spacing)
    radius = section(dark, np.array([[15.5, 9.5, 19.5], [16.5, 29.5, 39.5]]), 0)
    np.testing.assert_allclose(radius[[19, 19, 9], [29, 39, 29]], [0.07, 0.98, 1.0], atol=0.08)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_depths_are_distances_to_the_outside(shape: tuple[int, int, int]) -> None:
    spacing = (3.0, 1.0, 2.0)
    for mask in (np.ones(shape, bool), np.random.default_rng(0).random(shape) > 0.05):
        expected = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
        np.testing.assert_allclose(depths(mask, spacing), expected, rtol=1e-6)


def test_a_click_offers_up_to_three_sizes(model: Promptable) -> None:
    view, truth = ball()
    masks = ask(model, view, WindowPrompt(np.full((1, 3), 19.5), np.ones(1, bool)))
    sizes = [(logits > 0).sum() for logits in masks.logits]
    assert 1 <= len(sizes) <= 3
    assert len(set(sizes)) == len(sizes)
    assert max(dice(logits > 0, truth) for logits in masks.logits) > 0.85


def test_the_same_question_has_the_same_answer_in_all_threads(model: Promptable) -> None:
    view, truth = ball()
    (embedding,) = model.embed([view])
    prompt = WindowPrompt(*NOTHING, box=box_of(truth))
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: model.predict(embedding, prompt), range(3)))
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer.logits, answers[0].logits)
        np.testing.assert_array_equal(answer.scores, answers[0].scores)


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (4.0, 1.0, 1.0), (0.8, 2.0, 0.8)], ids=str)
def test_another_sampling_of_the_object_gives_the_same_answer(
    model: Promptable, spacing: tuple[float, float, float]
) -> None:
    view, truth = ball(spacing, noise=0.05)
    assert dice(ask(model, view, WindowPrompt(*NOTHING, box=box_of(truth))).logits[0] > 0, truth) > 0.9


def test_intensities_may_be_scaled_and_shifted(model: Promptable) -> None:
    view, truth = ball()
    other = View(view.samples * 7 - 3, view.valid, view.spacing)
    prompt = WindowPrompt(*NOTHING, box=box_of(truth))
    first, second = ask(model, view, prompt), ask(model, other, prompt)
    assert dice(first.logits[0] > 0, second.logits[0] > 0) > 0.98


@pytest.mark.parametrize("label", [True, False])
def test_a_correction_is_local_and_obeyed(model: Promptable, label: bool) -> None:
    view, truth = ball(noise=0.02)
    corner = np.zeros_like(truth)
    corner[:, :, 20:] = True
    answer = truth & ~corner if label else truth | (corner & (np.indices(truth.shape)[0] > 34))
    logits = np.where(answer, 3, -3).astype(np.float32)
    point = np.array([20.0, 20.0, 23.0]) if label else np.array([37.0, 20.0, 30.0])
    masks = ask(model, view, WindowPrompt(point[None], np.array([label]), mask=logits))
    corrected = masks.logits[0] > 0
    assert corrected[tuple(point.astype(int))] == label
    assert dice(corrected, truth) > dice(answer, truth)
    wrong = ndimage.distance_transform_edt(answer != label)[tuple(point.astype(int))]
    far = 3 * wrong + 1 < np.linalg.norm(np.indices(truth.shape).T - point, axis=-1).T
    np.testing.assert_array_equal(corrected[far], answer[far])


def test_an_answer_that_the_clicks_agree_with_stays(model: Promptable) -> None:
    view, truth = ball()
    logits = np.where(truth, 3, -3).astype(np.float32)
    prompt = WindowPrompt(np.full((1, 3), 19.5), np.ones(1, bool), mask=logits)
    np.testing.assert_array_equal(ask(model, view, prompt).logits[0] > 0, truth)


def test_a_click_far_from_the_answer_starts_anew(model: Promptable) -> None:
    view, truth = ball()
    elsewhere = np.full(truth.shape, -3, np.float32)
    elsewhere[:3, :3, :3] = 3
    prompt = WindowPrompt(np.full((1, 3), 19.5), np.ones(1, bool), box=box_of(truth), mask=elsewhere)
    assert dice(ask(model, view, prompt).logits[0] > 0, truth) > 0.9


def test_a_tube_goes_on_in_the_next_window(model: Promptable) -> None:
    view, truth = tube()
    known = np.zeros(truth.shape, np.float32)
    known[:12] = np.where(truth[:12], 3, -3)
    points = np.argwhere(truth & (np.indices(truth.shape)[0] == 6))[::17].astype(float)
    grown = ask(model, view, WindowPrompt(points, np.ones(len(points), bool), mask=known)).logits[0] > 0
    assert dice(grown[12:], truth[12:]) > 0.9
    assert grown[-1].any()


def test_growth_ends_at_the_box(model: Promptable) -> None:
    view, truth = tube()
    known = np.zeros(truth.shape, np.float32)
    known[:12] = np.where(truth[:12], 3, -3)
    box = np.array([[-30.5, -0.5, -0.5], [39.5, 39.5, 39.5]])
    grown = ask(model, view, WindowPrompt(*NOTHING, box=box, mask=known)).logits[0] > 0
    assert grown[20].any()
    assert not grown[40:].any()


def test_partial_is_what_leaves_samples_open() -> None:
    valid = np.ones((4, 4, 4), bool)
    mask = np.ones((4, 4, 4), np.float32)
    assert not partial(mask, valid)
    mask[2:] = 0
    assert partial(mask, valid)
    valid[2:] = False
    assert not partial(mask, valid)


def test_crumbs_and_small_holes_are_tidied_away() -> None:
    field = np.zeros((30, 30, 30), np.float32)
    field[2:20, 2:20, 2:20] = 0.9
    whole = field > 0.5
    field[10, 10, 10] = 0.1
    field[25, 25, 25] = field[2, 2, 25] = 0.9
    np.testing.assert_array_equal(tidied(field) > 0.5, whole)


def test_large_pieces_and_cavities_stay() -> None:
    field = np.zeros((30, 30, 30), np.float32)
    field[2:20, 2:20, 2:20] = field[22:28, 2:20, 2:20] = 0.9
    field[8:14, 8:14, 8:14] = 0.1
    np.testing.assert_array_equal(tidied(field), field)


def test_a_view_is_kept_not_copied(model: Promptable) -> None:
    view, _ = ball()
    (embedding,) = model.embed([view])
    assert embedding.nbytes == view.samples.nbytes + view.valid.nbytes


def test_cells_average_their_samples_and_spread_back() -> None:
    samples = np.random.default_rng(0).normal(size=(7, 9, 11)).astype(np.float32)
    grid = WorkGrid.over(Window((1, 0, 2), (6, 9, 8)), (1.0, 1.0, 3.0), 60)
    cell = tuple(slice(s, s + f) for s, f in zip(grid.window.start, grid.factors, strict=True))
    assert grid.pool(samples)[0, 0, 0] == pytest.approx(samples[cell].mean(), rel=1e-5)
    assert np.prod(grid.shape) <= 60
    ramp = np.add.outer(np.add.outer(grid.centres[0], grid.centres[1]), grid.centres[2])
    z, y, x = np.indices(grid.window.shape)
    inner = tuple(slice(f, -f - 1) for f in grid.factors)
    exact = (z + y + x + sum(grid.window.start)).astype(np.float32)
    np.testing.assert_allclose(grid.spread(ramp)[inner], exact[inner], rtol=1e-4)


def test_a_box_also_offers_the_ellipsoid(model: Promptable) -> None:
    view, truth = ball()
    masks = ask(model, view, WindowPrompt(*NOTHING, box=box_of(truth)))
    likeness = [dice(logits > 0, truth) for logits in masks.logits]
    assert 2 <= len(likeness) <= 3
    assert sorted(likeness)[-2] > 0.9


@pytest.mark.data
def test_organs_of_a_real_volume(model: Promptable, shared: Path) -> None:
    folder = shared / "med" / "totalseg_ct"
    image = sitk.ReadImage(str(folder / "image.nii.gz"))
    samples = sitk.GetArrayFromImage(image).astype(np.float32)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labels.nii.gz")))
    view = View(((samples + 160) / 400)[None], np.ones(samples.shape, bool), image.GetSpacing()[::-1])
    for label in (3, 104):  # a kidney, the bladder
        truth = labels == label
        assert dice(ask(model, view, WindowPrompt(*NOTHING, box=box_of(truth))).logits[0] > 0, truth) > 0.75


def test_clicks_of_both_kinds_also_mend_the_same_mistake_elsewhere(model: Promptable) -> None:
    view, truth = ball(noise=0.02)
    swollen = ndimage.binary_dilation(truth, iterations=2)
    points = np.array([[20.0, 20.0, 20.0], [20.0, 20.0, 28.0]])
    prompt = WindowPrompt(points, np.array([True, False]), mask=np.where(swollen, 3, -3).astype(np.float32))
    answer = ask(model, view, prompt).logits[0] > 0
    assert answer[20, 20, 20]
    assert not answer[20, 20, 28]
    other_side = np.indices(truth.shape)[2] < 20
    assert dice(answer & other_side, truth & other_side) > dice(swollen & other_side, truth & other_side) + 0.02
