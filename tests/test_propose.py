"""Everything mode inside one view: what proposers must hold, and the grid of points that makes any model one."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from promptile.engine.flatten import flatten
from promptile.models.protocols import Proposal, Proposer, View
from proposers import Failing, Pieces, Whole


def blobs(shape: tuple[int, ...], seed: int = 0, size: float = 5.0) -> np.ndarray:
    """Labels of random blobs that do not touch: smooth noise above its median, in pieces."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), size)
    labels, _ = ndimage.label(smooth > np.quantile(smooth, 0.6), np.ones((3,) * len(shape)))
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
