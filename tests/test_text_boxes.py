"""Boxes of a detector, many at a time, against plain loops over all pairs of them."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptile.engine.detect import boxes as many
from promptile.engine.detect import nesting
from promptile.engine.detect.boxes import alike, hull, meeting, over_smaller, over_union
from promptile.engine.detect.merging import merge
from promptile.engine.detect.nesting import choose, repeated
from promptile.engine.detect.sightings import Sightings

SIDE = 30


@pytest.fixture(autouse=True)
def few_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small cases are looked at in several goes."""
    for module in (many, nesting):
        monkeypatch.setattr(module, "TOGETHER", 7)


@dataclass
class Known:
    boxes: np.ndarray
    scores: np.ndarray
    views: list[set[int]]


def boxes_of(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes that touch, repeat and hold one another."""
    corners = np.sort(rng.integers(0, SIDE, (count, 2, 2)), axis=1) + np.array([[0], [1]])
    return np.repeat(corners, rng.integers(1, 3, count), axis=0)[:count] - 0.5


def sightings(boxes: np.ndarray, views: np.ndarray, scores: np.ndarray) -> Sightings:
    """Two views of the whole image and one of a corner of it."""
    frames = np.array([[[0, 0], [n, n]] for n in (SIDE, SIDE, 9)]) - 0.5
    inner = frames == 8.5
    return Sightings(np.zeros(3, int), frames, inner, np.ones((3, 2)), views, boxes, scores)


def share(measure: object, a: np.ndarray, b: np.ndarray) -> float:
    return float(measure(a[None], b[None])[0])  # type: ignore[operator]


def left_of(order: list[int], beats: object) -> list[int]:
    """Who is left if one after the other beats those after it, unless it was beaten."""
    left: list[int] = []
    for n in order:
        if not any(beats(m, n) for m in left):  # type: ignore[operator]
            left.append(n)
    return sorted(left)


cases = st.tuples(st.integers(0, 2**20), st.integers(0, 40))


@settings(max_examples=40, deadline=None)
@given(cases, st.sampled_from([0.1, 0.5, 0.7]))
def test_pairs_are_those_of_two_loops(case: tuple[int, int], least: float) -> None:
    rng = np.random.default_rng(case[0])
    a, b = boxes_of(rng, case[1]), boxes_of(rng, 12)
    pairs = [(i, j) for i in range(len(a)) for j in range(len(b))]
    i, j, shares = alike(a, b, least)
    assert [*zip(i, j, strict=True)] == [(m, n) for m, n in pairs if share(over_union, a[m], b[n]) >= least]
    assert shares.tolist() == [share(over_union, a[m], b[n]) for m, n in zip(i, j, strict=True)]
    i, j = meeting(a, b)
    assert [*zip(i, j, strict=True)] == [(m, n) for m, n in pairs if share(over_union, a[m], b[n]) > 0]
    i, j, _ = alike(b, b, least, possible=lambda i, j: i < j, share=lambda i, j: over_smaller(b[i], b[j]))
    assert [*zip(i, j, strict=True)] == [
        (m, n) for m in range(len(b)) for n in range(m + 1, len(b)) if share(over_smaller, b[m], b[n]) >= least
    ]


@settings(max_examples=40, deadline=None)
@given(cases)
def test_what_repeats_is_what_loops_say(case: tuple[int, int]) -> None:
    rng = np.random.default_rng(case[0])
    boxes, views = boxes_of(rng, case[1]), rng.integers(0, 3, case[1])
    scores = rng.integers(3, 9, case[1]) / 10
    order = np.argsort(-scores, kind="stable").tolist()
    left = left_of(order, lambda m, n: views[m] == views[n] and share(over_union, boxes[m], boxes[n]) >= 0.7)
    assert np.flatnonzero(~repeated(sightings(boxes, views, scores))).tolist() == left


@settings(max_examples=40, deadline=None)
@given(cases)
def test_what_is_chosen_is_what_loops_say(case: tuple[int, int]) -> None:
    rng = np.random.default_rng(case[0])
    boxes, scores = boxes_of(rng, case[1]), rng.integers(3, 9, case[1]) / 10
    known = Known(boxes, scores, [set(rng.integers(0, 4, 2).tolist()) for _ in boxes])
    size = np.prod(boxes[:, 1] - boxes[:, 0], axis=-1)

    def holds(m: int, n: int) -> bool:
        return share(over_smaller, boxes[m], boxes[n]) >= 0.7

    groups: set[int] = set()
    for n in sorted(range(len(boxes)), key=lambda n: (size[n], n)):
        inside = [m for m in range(len(boxes)) if holds(n, m) and size[m] < size[n] / 2 and m not in groups]
        if len(inside) > 1 and scores[inside].mean() >= scores[n]:
            groups |= {n} if share(over_union, hull(boxes[inside]), boxes[n]) >= 0.8 else set()
    order = [n for n in np.argsort(-scores, kind="stable").tolist() if n not in groups]
    left = left_of(order, lambda m, n: known.views[m].isdisjoint(known.views[n]) and holds(m, n))
    told = sightings(boxes[:0], np.zeros(0, int), scores[:0])
    assert choose(known, told).tolist() == left


def test_thousands_of_boxes_upon_one_another_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rng = np.random.default_rng(0)
    boxes = np.array([[5.0, 5], [25, 25]]) + rng.uniform(-0.5, 0.5, (5000, 2, 2))
    frames = np.array([[[0.0, 0], [SIDE, SIDE]]])
    scores = rng.uniform(0.3, 0.9, 5000)
    told = Sightings(
        np.zeros(1, int), frames, np.ones((1, 2, 2), bool), np.ones((1, 2)), np.zeros(5000, int), boxes, scores
    )
    tracemalloc.start()
    try:
        found = merge(told)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.rows.tolist() == [int(scores.argmax())]
    assert peak < 5e8  # all pairs at once would take eight times as much
