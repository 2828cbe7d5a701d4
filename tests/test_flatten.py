"""Flattening: what stays of overlapping proposals, and that it depends on nothing else."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptile.engine import flatten as flattening
from promptile.engine.flatten import LAYERS, flatten
from promptile.engine.overlaps import packed, shared_counts
from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.protocols import Proposal
from promptile.stitching.types import TileAnswer

SHAPE = (60, 90)
KEEPS = ("best", "whole", "part", "all")
any_time = settings(deadline=None)  # the first example compiles


def box(y: int, x: int, height: int, width: int, score: float) -> Proposal:
    return Proposal(Window((y, x), (height, width)), np.ones((height, width), bool), score)


def areas(answer: TileAnswer) -> list[int]:
    """Samples of ids 1 .. n."""
    return np.bincount(answer.labels.ravel(), minlength=len(answer.scores) + 1)[1:].tolist()


@st.composite
def scenes(draw: st.DrawFn) -> tuple[tuple[int, ...], list[Proposal]]:
    """A small view with boxes, discs and noise, some of them twice and some with equal scores."""
    shape = draw(st.sampled_from([(12, 70), (40, 33), (7, 9, 68), (1, 1), (5, 130)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = []
    for _ in range(draw(st.integers(0, 14))):
        start = [random.integers(0, n) for n in shape]
        size = [random.integers(1, n - s + 1) for n, s in zip(shape, start, strict=True)]
        samples = np.ones(size, bool) if random.random() < 0.6 else random.random(size) < random.random()
        score = random.integers(0, 5) / 4 if random.random() < 0.5 else random.random()
        found.append(Proposal(Window(tuple(map(int, start)), tuple(map(int, size))), samples, float(score)))
        if random.random() < 0.2:
            found.append(found[random.integers(len(found))])
    return shape, found


@pytest.mark.parametrize("keep", KEEPS)
@any_time
@given(scene=scenes(), seed=st.integers(0, 99))
def test_the_order_of_proposals_means_nothing(keep: str, scene: tuple, seed: int) -> None:
    shape, proposals = scene
    answer = flatten(shape, proposals, keep)
    other = flatten(shape, [proposals[i] for i in np.random.default_rng(seed).permutation(len(proposals))], keep)
    np.testing.assert_array_equal(answer.labels, other.labels)
    np.testing.assert_array_equal(answer.scores, other.scores)
    np.testing.assert_array_equal(answer.parents, other.parents)


@pytest.mark.parametrize("keep", KEEPS)
@any_time
@given(scene=scenes())
def test_ids_are_dense_and_each_is_part_of_one_proposal_of_its_score(keep: str, scene: tuple) -> None:
    shape, proposals = scene
    answer = flatten(shape, proposals, keep)
    assert answer.labels.shape == (LAYERS if keep == "all" else 1, *shape)
    assert answer.labels.dtype == np.uint16
    count = len(answer.scores)
    assert len(answer.parents) == count
    assert set(np.unique(answer.labels)) - {0} == set(range(1, count + 1))
    wholes = []
    for proposal in proposals:
        whole = np.zeros(shape, bool)
        whole[proposal.window.slices] = proposal.samples
        wholes.append((np.float32(proposal.score), whole))
    for i, score in enumerate(answer.scores, 1):
        (layer,) = np.flatnonzero((answer.labels == i).any(axis=tuple(range(1, answer.labels.ndim))))
        mask = answer.labels[layer] == i
        assert any(s == score and not (mask & ~whole).any() for s, whole in wholes)


@any_time
@given(scene=scenes())
def test_parts_lie_in_their_parents(scene: tuple) -> None:
    answer = flatten(*scene, "all")
    for i, parent in enumerate(answer.parents, 1):
        layer = next(n for n, labels in enumerate(answer.labels) if (labels == i).any())
        assert (layer == 0) == (parent == 0)
        if layer:
            assert (answer.labels[layer - 1][answer.labels[layer] == i] == parent).all()


@pytest.mark.parametrize("keep", KEEPS)
@any_time
@given(scene=scenes())
def test_proposals_seen_twice_count_once(keep: str, scene: tuple) -> None:
    shape, proposals = scene
    once, twice = flatten(shape, proposals, keep), flatten(shape, [*proposals, *proposals], keep)
    np.testing.assert_array_equal(once.labels, twice.labels)


@any_time
@given(scene=scenes())
def test_shared_samples_are_counted(scene: tuple) -> None:
    shape, proposals = scene
    whole = np.zeros((len(proposals), *shape), int)
    for i, proposal in enumerate(proposals):
        whole[i][proposal.window.slices] = proposal.samples
    flat = whole.reshape(len(proposals), int(np.prod(shape)))
    found = np.zeros((len(proposals),) * 2, int)
    windows = [p.window for p in proposals]
    for i, j, count in zip(*shared_counts(windows, [packed(p.window, p.samples) for p in proposals]), strict=True):
        found[i, j] += count
        found[j, i] += count
    expected = flat @ flat.T
    np.fill_diagonal(expected, 0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("keep", KEEPS)
def test_what_does_not_overlap_stays_as_it_is(keep: str) -> None:
    truth = np.random.default_rng(0).integers(0, 40, SHAPE)
    proposals = [Proposal(Window.of(SHAPE), truth == i, 1.0) for i in range(1, 40)]
    labels = flatten(SHAPE, proposals, keep).labels[0]
    assert ((labels > 0) == (truth > 0)).all()
    assert len(np.unique(labels * 40 + truth)) == 40


def test_a_part_of_a_better_whole_goes() -> None:
    answer = flatten(SHAPE, [box(10, 10, 20, 20, 0.9), box(12, 12, 5, 5, 0.8)])
    assert areas(answer) == [400]


def test_a_whole_stands_for_a_few_better_parts() -> None:
    """A chimney does not cut a hole into the roof."""
    assert areas(flatten(SHAPE, [box(10, 10, 20, 20, 0.9), box(12, 12, 5, 5, 0.99)])) == [400]


def test_far_better_parts_are_cut_out_of_a_doubtful_whole() -> None:
    doubtful = box(5, 5, 40, 60, 0.2)
    assert areas(flatten(SHAPE, [doubtful, box(12, 12, 5, 5, 0.9), box(25, 25, 5, 5, 0.5)])) == [25, 2375]


def test_a_mask_that_better_parts_nearly_fill_goes() -> None:
    """A row of houses is not a house."""
    houses = [box(10, 10 + 11 * i, 10, 10, 0.95) for i in range(5)]
    assert areas(flatten(SHAPE, [box(10, 10, 10, 54, 0.9), *houses])) == [100] * 5
    assert areas(flatten(SHAPE, [box(10, 10, 10, 54, 0.96), *houses])) == [540]


def test_the_ground_lies_beneath_what_stands_out_of_it() -> None:
    boats = [box(10, 10, 4, 8, 0.95), box(30, 40, 4, 8, 0.6)]
    answer = flatten(SHAPE, [box(0, 0, *SHAPE, 0.9), *boats])
    assert areas(answer) == [32, 60 * 90 - 32]


def test_parts_of_the_ground_need_not_stand_out_better() -> None:
    """SAM is surer of all that it sees than of anything in it, and sure of that as well."""
    fields = [box(10, 10, 4, 8, 0.95), box(30, 40, 4, 8, 0.89)]
    assert areas(flatten(SHAPE, [box(0, 0, *SHAPE, 1.0), *fields])) == [32, 32, 60 * 90 - 64]


def test_of_a_partial_overlap_the_better_one_has_the_samples() -> None:
    left, right = box(10, 10, 20, 20, 0.8), box(10, 22, 20, 20, 0.9)
    answer = flatten(SHAPE, [left, right])
    assert areas(answer) == [400, 240]
    assert answer.scores.tolist() == [np.float32(0.9), np.float32(0.8)]


def test_crumbs_of_a_trimmed_mask_go() -> None:
    """A bar across a mask leaves a large piece and a line of it: the line goes."""
    answer = flatten(SHAPE, [box(10, 10, 20, 22, 0.8), box(2, 20, 40, 11, 0.9)])
    assert areas(answer) == [440, 200]
    untouched = Proposal(Window((40, 10), (3, 20)), np.ones((3, 20), bool), 0.7)
    untouched.samples[:, 1] = False
    assert areas(flatten(SHAPE, [untouched])) == [57]  # a piece of its own, however small, is the model's word


def test_whole_part_and_all() -> None:
    roof, chimney, pot = box(10, 10, 20, 20, 0.8), box(12, 12, 8, 8, 0.9), box(13, 13, 3, 3, 0.7)
    proposals = [pot, chimney, roof]
    assert areas(flatten(SHAPE, proposals, "whole")) == [400]
    assert sorted(areas(flatten(SHAPE, proposals, "part"))) == [9, 55, 336]
    answer = flatten(SHAPE, proposals, "all")
    assert areas(answer) == [400, 64, 9]
    assert answer.parents.tolist() == [0, 1, 2]
    assert [int(labels.max()) for labels in answer.labels] == [1, 2, 3, 0]


def test_parts_of_a_mask_that_goes_take_its_place() -> None:
    """A better mask takes 77 % of another one, which goes; what lies in the rest of it does not."""
    proposals = [box(10, 10, 20, 30, 0.5), box(10, 17, 20, 40, 0.9), box(11, 11, 4, 4, 0.4)]
    assert areas(flatten(SHAPE, proposals, "whole")) == [800]
    answer = flatten(SHAPE, proposals, "all")
    assert areas(answer) == [800, 16]
    assert answer.parents.tolist() == [0, 0]


def test_small_regions_go_unless_the_border_cuts_them() -> None:
    proposals = [box(10, 10, 3, 3, 0.9), box(0, 40, 3, 3, 0.8), box(30, 30, 4, 4, 0.7)]
    answer = flatten(SHAPE, proposals, min_region=10)
    assert areas(answer) == [9, 16]


def test_a_view_without_proposals_is_background() -> None:
    answer = flatten((4, 5, 6), [])
    assert answer.labels.shape == (1, 4, 5, 6)
    assert not answer.labels.any()
    assert answer.scores.shape == answer.parents.shape == (0,)
    assert not len(flatten(SHAPE, [Proposal(Window((0, 0), (3, 3)), np.zeros((3, 3), bool), 1.0)]).scores)


def test_proposals_beyond_the_view_are_refused() -> None:
    with pytest.raises(ModelError, match="lies in the view"):
        flatten(SHAPE, [box(50, 80, 20, 20, 0.9)])
    with pytest.raises(ModelError, match="fill its window"):
        flatten(SHAPE, [Proposal(Window((0, 0), (3, 3)), np.ones((3, 4), bool), 1.0)])


def test_more_objects_than_ids_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flattening, "MOST", 3)
    with pytest.raises(ModelError, match="--tile") as refused:
        flatten(SHAPE, [box(0, 4 * i, 3, 3, 0.5) for i in range(4)])
    assert "\n" not in str(refused.value)


def test_two_thousand_proposals_take_less_than_half_a_second() -> None:
    random = np.random.default_rng(0)
    y, x = np.mgrid[:120, :120]
    proposals = []
    for i in range(2000):
        r = int(random.integers(4, 60))
        low = random.integers(0, 1024 - 2 * r, 2)
        disc = (y[: 2 * r, : 2 * r] - r + 0.5) ** 2 + (x[: 2 * r, : 2 * r] - r + 0.5) ** 2 <= r * r
        proposals.append(Proposal(Window(tuple(map(int, low)), disc.shape), disc, float(random.random())))
        if i % 200 == 0:
            proposals.append(Proposal(Window.of((1024, 1024)), random.random((1024, 1024)) < 0.5, 0.3))
    flatten((1024, 1024), proposals[:5])  # compile
    for keep in KEEPS:
        start = time.thread_time()
        flatten((1024, 1024), proposals, keep)
        assert time.thread_time() - start < 0.5 * 3  # a busy machine may take its time
