"""Everything mode inside one view: what proposers must hold, and the grid of points that makes any model one."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from perfect import Perfect
from promptile.engine.flatten import flatten
from promptile.engine.propose import GridParameters, PointGrid, grid_points, proposer_of, without_repeats
from promptile.errors import ModelError, UsageError
from promptile.grid import Window
from promptile.models.basin import load
from promptile.models.protocols import Embedding, Masks, ModelCard, Proposal, Proposer, View, WindowPrompt
from proposers import Failing, Pieces, Whole

SHAPES = [(160, 200), (50, 60, 70)]


def blobs(shape: tuple[int, ...], seed: int = 0, size: float = 5.0) -> np.ndarray:
    """Labels of random blobs that do not touch: smooth noise where it is high, in pieces."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), size)
    labels, _ = ndimage.label(
        smooth > np.quantile(smooth, 0.6 if len(shape) == 2 else 0.85), np.ones((3,) * len(shape))
    )
    return labels


def raw(labels: np.ndarray, valid: np.ndarray | None = None) -> View:
    everywhere = np.ones(labels.shape, bool)
    return View(labels[None], everywhere if valid is None else valid, (1.0,) * labels.ndim)


def same(a: list[Proposal], b: list[Proposal]) -> bool:
    return len(a) == len(b) and all(
        p.window == q.window and p.score == q.score and np.array_equal(p.samples, q.samples)
        for p, q in zip(a, b, strict=True)
    )


def check_contract(model: Proposer, view: View) -> list[Proposal]:
    """What every proposer must hold; its answer."""
    assert isinstance(model, Proposer)
    assert "propose" in model.card.abilities
    found = model.propose(view)
    whole = view.valid
    for proposal in found:
        assert proposal.samples.dtype == bool
        assert proposal.samples.shape == proposal.window.shape
        assert proposal.window.clip(whole.shape) == proposal.window
        assert proposal.samples.any()
        assert not (proposal.samples & ~whole[proposal.window.slices]).any()
        assert all(
            proposal.samples.any(axis=tuple(a for a in range(whole.ndim) if a != axis))[[0, -1]].all()
            for axis in range(whole.ndim)
        )
    scores = [proposal.score for proposal in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert same(found, model.propose(view))
    with ThreadPoolExecutor(3) as pool:
        assert all(same(found, answer) for answer in pool.map(model.propose, [view] * 3))
    nothing = View(np.zeros_like(view.samples), np.zeros_like(view.valid), view.spacing)
    assert model.propose(nothing) == []
    return found


@pytest.mark.parametrize("kind", [Whole, Pieces])
@pytest.mark.parametrize("shape", [(80, 120), (20, 30, 40)])
def test_perfect_proposers_propose_the_truth(kind: type[Whole], shape: tuple[int, ...]) -> None:
    truth = blobs(shape) * 1000 + 7 * (blobs(shape, 1) == 0)
    valid = np.ones(shape, bool)
    valid[3:9] = False
    found = check_contract(kind(len(shape)), raw(truth, valid))
    answer = flatten(shape, found)
    pairs = np.unique(np.stack([answer.labels[0].ravel(), np.where(valid, truth, 0).ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1] == len(found) + 1  # each id is in one object only
    if kind is Whole:
        assert len(np.unique(pairs[1])) == pairs.shape[1]
    else:
        assert pairs.shape[1] > len(np.unique(pairs[1]))


def test_perfect_proposers_number_each_view_differently() -> None:
    truth = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((8, 8), int))
    first, second = (flatten(t.shape, Whole(2).propose(raw(t))).labels[0] for t in (truth[:, :32], truth[:, 8:]))
    assert (first[:, 8:] != second[:, :-8]).mean() > 0.5


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_a_failing_proposer_fails_so_often_per_view(tmp_path: Path, error: type[Exception]) -> None:
    bad, good = raw(np.full((4, 4), 3)), raw(np.full((4, 4), 2))
    model = Failing(Whole(2), tmp_path, values=[3], times=2, error=error)
    assert len(model.propose(good)) == 1
    for _ in range(2):
        with pytest.raises(error):
            pickle.loads(pickle.dumps(model)).propose(bad)
    assert len(model.propose(bad)) == 1
    assert model.failures == 2


class Batchwise(Perfect):
    """Answers batches of a few prompts, and runs out of memory for more."""

    def __init__(self, ndim: int, most: int, error: type[Exception] = MemoryError) -> None:
        super().__init__(ndim)
        self.most, self.error = most, error
        self.asked: list[int] = []

    def predict_batch(self, embedding: Embedding, prompts: list[WindowPrompt]) -> list[Masks]:
        self.asked.append(len(prompts))
        if len(prompts) > self.most:
            raise self.error("too many")
        return [self.predict(embedding, prompt) for prompt in prompts]


class Drawn:
    """Answers every prompt with the same masks."""

    def __init__(self, masks: list[np.ndarray], scores: list[float]) -> None:
        self.card = ModelCard(name="drawn", family="test", abilities=frozenset({"points"}), ndim=masks[0].ndim)
        self.masks = Masks(np.stack(masks).astype(np.float32), np.array(scores))

    def embed(self, views: list[View]) -> list[Embedding]:
        return [Embedding(None, "", 0) for _ in views]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        return self.masks


def drawn(y: int, x: int, height: int, width: int, inside: float = 6) -> np.ndarray:
    logits = np.full((40, 50), -6.0)
    logits[y : y + height, x : x + width] = inside
    return logits


EMPTY = View(np.zeros((1, 40, 50), np.float32), np.ones((40, 50), bool), (1.0, 1.0))


def dense(**changes: float) -> GridParameters:
    return GridParameters(points_per_side=256, **changes)


@pytest.mark.parametrize("shape", [(90, 120), (40, 30, 50)])
def test_a_grid_over_a_perfect_model_finds_every_object_once(shape: tuple[int, ...]) -> None:
    truth = blobs(shape, size=2.5)
    valid = np.random.default_rng(0).random(shape) < 0.9
    grid = PointGrid(Perfect(len(shape)), dense())
    view = raw(truth, valid)
    labels = flatten(shape, check_contract(grid, view)).labels[0]
    hit = np.unique(truth[tuple(np.rint(grid_points(view, 256)).astype(int).T)])
    assert len(hit) > 10
    pairs = np.unique(np.stack([labels[labels > 0], truth[labels > 0]]), axis=1)
    np.testing.assert_array_equal(np.sort(pairs[1]), hit[hit > 0])  # each in one object
    assert ((labels > 0) == (np.isin(truth, hit[1:]) & valid)).all()


def scene(shape: tuple[int, ...], seed: int = 0) -> tuple[View, np.ndarray]:
    """Discs or balls of random tones on grey ground under noise, and their labels."""
    random = np.random.default_rng(seed)
    truth = np.zeros(shape, int)
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij")
    for i in range(1, 31):
        centre, radius = [random.uniform(0, n) for n in shape], random.uniform(6, 11)
        near = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))
        if not truth[near <= (radius + 9) ** 2].any():
            truth[near <= radius**2] = i
    tones = np.append(0.5, random.choice([0.0, 0.15, 0.85, 1.0], 30))
    samples = (tones[truth] + random.normal(0, 0.02, shape)).astype(np.float32)
    valid = np.ones(shape, bool)
    valid[-5:] = False
    return View(np.where(valid, samples, 0)[None].astype(np.float32), valid, (1.0,) * len(shape)), truth * valid


@pytest.mark.parametrize("shape", SHAPES)
def test_basin_proposes_what_stands_out(shape: tuple[int, ...]) -> None:
    view, truth = scene(shape)
    found = check_contract(load(len(shape)), view)
    answer = flatten(shape, found)
    labels = answer.labels[0]
    present = [i for i in range(1, 31) if (truth == i).sum() > 200]
    assert len(present) >= 4
    for i in present:
        candidates = np.unique(labels[truth == i])
        ious = [((labels == c) & (truth == i)).sum() / ((labels == c) | (truth == i)).sum() for c in candidates if c]
        assert max(ious, default=0) > 0.8
    assert labels.max() <= len(np.unique(truth)) + 3  # neither ground nor confetti
    likely = np.append(False, answer.scores > 0.2)
    assert likely[labels[truth == 0]].mean() < 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_basin_sees_nothing_in_an_even_view(shape: tuple[int, ...]) -> None:
    valid = np.ones(shape, bool)
    assert load(len(shape)).propose(View(np.full((1, *shape), 0.5, np.float32), valid, (1.0,) * len(shape))) == []
    valid[..., :5] = False
    assert load(len(shape)).propose(View(np.where(valid, 0.5, 0)[None], valid, (1.0,) * len(shape))) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_basin_sees_the_same_from_elsewhere(shape: tuple[int, ...]) -> None:
    """Away from the borders two windows on one scene show the same objects."""
    view, _ = scene(shape)
    moved = View(view.samples[..., 9:], view.valid[..., 9:], view.spacing)
    here, there = ({(p.window.shift((0,) * (len(shape) - 1) + (by,)), p.samples.tobytes()) for p in
                    load(len(shape)).propose(v) if p.window.start[-1] > 2 and p.window.start[-1] + by > 20
                    and p.window.stop[-1] < v.shape[-1] - 10} for v, by in ((view, 0), (moved, 9)))  # fmt: skip
    assert len(here & there) >= 0.8 * len(here) > 0


def test_points_lie_in_the_middle_of_cells_as_in_sam() -> None:
    view = raw(np.zeros((1024, 1024), np.uint8))
    line = (np.arange(32) + 0.5) / 32 * 1024  # SAM counts from the corner of the first sample
    y, x = np.meshgrid(line, line, indexing="ij")
    np.testing.assert_allclose(grid_points(view, 32) + 0.5, np.stack([y.ravel(), x.ravel()], axis=1))


def test_points_are_equally_far_apart_in_the_world() -> None:
    valid = np.ones((8, 64, 64), bool)
    points = grid_points(View(np.zeros((1, *valid.shape)), valid, (4.0, 0.5, 0.5)), 64)
    assert [len(np.unique(axis)) for axis in points.T] == [4, 4, 4]


def test_points_on_invalid_samples_are_not_asked() -> None:
    view = raw(np.ones((32, 32), int), np.arange(32)[:, None] + np.zeros(32) < 16)
    assert len(grid_points(view, 256)) == 32
    assert grid_points(view, 256)[:, 0].max() < 16


def test_small_views_are_asked_once_per_axis() -> None:
    assert grid_points(raw(np.ones((3, 5), int)), 1).tolist() == [[1.0, 2.0]]
    assert len(grid_points(raw(np.ones((2, 3), int)), 10**6)) == 6


@pytest.mark.parametrize(("device", "ndim", "side"), [("cpu", 2, 16), ("cuda", 2, 32), ("cpu", 3, 32), ("cuda", 3, 64)])
def test_the_grid_is_as_dense_as_the_device_is_fast(device: str, ndim: int, side: int) -> None:
    model = Perfect(ndim)
    model.card = ModelCard(name="p", family="test", abilities=frozenset({"points"}), ndim=ndim, device=device)
    assert PointGrid(model, GridParameters()).parameters.points_per_side == side
    assert PointGrid(model, GridParameters(points_per_side=5)).parameters.points_per_side == 5


def test_batches_are_halved_until_memory_suffices() -> None:
    truth = blobs((60, 60))
    model = Batchwise(2, most=3)
    found = PointGrid(model, dense(points_per_batch=64)).propose(raw(truth))
    assert model.asked[:7] == [64, 32, 16, 8, 4, 2, 2]
    assert set(model.asked[5:]) <= {1, 2}
    assert same(found, PointGrid(Perfect(2), dense()).propose(raw(truth)))


def test_a_gpu_that_is_full_is_told_by_the_name_of_its_error() -> None:
    named = type("OutOfMemoryError", (RuntimeError,), {})
    model = Batchwise(2, most=0, error=named)
    with pytest.raises(named):
        PointGrid(model, dense(points_per_batch=4)).propose(raw(blobs((20, 20))))
    assert model.asked == [4, 2, 1]
    other = Batchwise(2, most=0, error=RuntimeError)
    with pytest.raises(RuntimeError):
        PointGrid(other, dense(points_per_batch=4)).propose(raw(blobs((20, 20))))
    assert other.asked == [4]


def test_masks_that_are_not_sure_are_left_out() -> None:
    doubtful = drawn(20, 2, 10, 10)
    doubtful[20:30, 12] = 0.5  # 100 samples above 1, 110 above -1
    masks = [drawn(2, 2, 10, 10), drawn(2, 20, 10, 10), doubtful, drawn(2, 40, 0, 0)]
    model = Drawn(masks, [0.9, 0.88, 0.99, 1.0])
    (only,) = PointGrid(model, GridParameters()).propose(EMPTY)
    assert only.window == Window((2, 2), (10, 10))
    loose = GridParameters(pred_iou_thresh=0.5, stability_score_thresh=0.9)
    assert [p.score for p in PointGrid(model, loose).propose(EMPTY)] == [0.99, 0.9, 0.88]


def test_masks_at_the_border_of_the_view_are_kept() -> None:
    model = Drawn([drawn(0, 10, 15, 15), drawn(30, 38, 10, 12)], [0.95, 0.9])
    assert len(PointGrid(model, GridParameters()).propose(EMPTY)) == 2


@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from([0.0, 0.3, 0.7, 1.0]), ndim=st.sampled_from([2, 3]))
def test_repeats_go_as_in_the_plain_algorithm(seed: int, limit: float, ndim: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(0, 25))
    windows = [
        Window(tuple(map(int, random.integers(0, 6, ndim))), tuple(map(int, random.integers(1, 9, ndim))))
        for _ in range(count)
    ]
    merits = (random.integers(0, 8, count) / 8).tolist()
    kept: list[int] = []
    for i in sorted(range(count), key=lambda i: -merits[i]):
        ious = [(windows[i] & windows[k]).size for k in kept]
        ious = [n / (windows[i].size + windows[k].size - n) for n, k in zip(ious, kept, strict=True)]
        if all(iou <= limit for iou in ious):
            kept.append(i)
    assert without_repeats(windows, merits, limit) == kept


def test_small_holes_and_islands_are_removed() -> None:
    mask = drawn(5, 5, 20, 20)
    mask[10:12, 10:12] = -6  # a hole of 4
    mask[15:18, 15:18] = -6  # one of 9
    mask[30, 5:8] = 6  # an island of 3
    mask[30:33, 20:23] = 6  # one of 9
    model = Drawn([mask], [0.95])
    (only,) = PointGrid(model, GridParameters(min_mask_region_area=5)).propose(EMPTY)
    expected = mask > 0
    expected[10:12, 10:12] = True
    expected[30, 5:8] = False
    whole = np.zeros((40, 50), bool)
    whole[only.window.slices] = only.samples
    np.testing.assert_array_equal(whole, expected)


def test_a_mask_of_islands_keeps_its_largest() -> None:
    mask = drawn(5, 5, 2, 2)
    mask[20, 20:23] = 6
    (only,) = PointGrid(Drawn([mask], [0.95]), GridParameters(min_mask_region_area=50)).propose(EMPTY)
    assert only.window == Window((5, 5), (2, 2))


def test_of_masks_that_tidying_makes_alike_the_unchanged_one_is_kept() -> None:
    tidy, untidy = drawn(5, 5, 20, 20), drawn(5, 5, 20, 20)
    untidy[38, 45] = 6  # its box is far larger, so the first round keeps both
    model = Drawn([untidy, tidy], [0.99, 0.9])
    assert len(PointGrid(model, GridParameters()).propose(EMPTY)) == 2
    (only,) = PointGrid(model, GridParameters(min_mask_region_area=4)).propose(EMPTY)
    assert only.score == 0.9


def test_nothing_is_filled_where_there_is_no_data() -> None:
    mask = drawn(5, 5, 20, 20)
    valid = np.ones((40, 50), bool)
    valid[12, 12] = False
    view = View(EMPTY.samples, valid, EMPTY.spacing)
    (only,) = PointGrid(Drawn([mask], [0.95]), GridParameters(min_mask_region_area=9)).propose(view)
    assert only.samples.sum() == 399


def test_models_propose_by_themselves_or_through_a_grid() -> None:
    native, promptable = Whole(2), Perfect(2)
    assert proposer_of(native) is native
    grid = proposer_of(promptable)
    assert isinstance(grid, PointGrid)
    assert grid.card.digest != proposer_of(promptable, GridParameters(points_per_side=7)).card.digest
    assert {"points", "propose"} <= grid.card.abilities
    with pytest.raises(ModelError, match="leave out the parameters"):
        proposer_of(native, GridParameters())


def test_a_model_that_can_do_neither_is_refused() -> None:
    model = Perfect(2)
    model.card = ModelCard(name="p", family="test", abilities=frozenset({"box"}), ndim=2)
    with pytest.raises(ModelError, match="--model basin") as refused:
        proposer_of(model)
    assert "\n" not in str(refused.value)


def test_a_grid_of_no_points_is_refused() -> None:
    with pytest.raises(UsageError, match="points_per_side is 0"):
        GridParameters(points_per_side=0)


def test_a_grid_travels_to_other_processes() -> None:
    truth = raw(blobs((40, 40)))
    grid = PointGrid(Perfect(2), dense())
    assert same(pickle.loads(pickle.dumps(grid)).propose(truth), grid.propose(truth))
