"""Clicks are told one by one, each with the last answer; neighbours are corrected before they are believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfect import Perfect
from promptile.engine.dialogue import MOST_TURNS, turns
from promptile.engine.job import Job
from promptile.engine.lattice import Tiling
from promptile.grid import Window
from promptile.models.protocols import LEARNT, Embedding, Masks, WindowPrompt
from promptile.prompts import Prompt


class Heard(Perfect):
    """Answers well and remembers what it was asked; the n-th answer is n times as sure."""

    def __init__(self, *without: str) -> None:
        super().__init__(2)
        self.card = replace(self.card, abilities=self.card.abilities - set(without))
        self.questions: list[WindowPrompt] = []

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        self.questions.append(prompt)
        masks = super().predict(embedding, prompt)
        return replace(masks, logits=masks.logits * np.float32(len(self.questions)))


def asked(labels: list[bool], *, box: bool = False) -> WindowPrompt:
    points = np.arange(2.0 * len(labels)).reshape(-1, 2)
    return WindowPrompt(points, np.array(labels, bool), np.array([[0.0, 0], [9, 9]]) if box else None)


@pytest.mark.parametrize(
    ("labels", "box", "counts"),
    [
        ([True], False, [1]),
        ([], True, [0]),
        ([True, False, True], False, [1, 2, 3]),
        ([False, False, True, True], False, [3, 4]),
        ([False, True], True, [0, 1, 2]),
        ([False], False, [1]),
        ([True] * 20, False, list(range(21 - MOST_TURNS, 21))),
    ],
)
def test_a_dialogue_begins_with_something_on_the_object(labels: list[bool], box: bool, counts: list[int]) -> None:
    told = list(turns(asked(labels, box=box)))
    assert [len(turn.points) for turn in told] == counts
    assert all(len(turn.labels) == len(turn.points) and (turn.box is not None) == box for turn in told)


def image() -> np.ndarray:
    truth = np.zeros((40, 40), np.uint8)
    truth[5:30, 5:30] = 1
    return truth


def clicks(*labels: bool) -> Prompt:
    return Prompt(1, np.array([[10.0, 10], [20, 20], [35, 35]])[: len(labels)], np.array(labels))


def test_each_click_comes_with_the_answer_to_those_before_it() -> None:
    model = Heard()
    Job.prepare(image(), model).grower().grow(clicks(True, True, False))
    assert [len(q.points) for q in model.questions] == [1, 2, 3]
    masks = [q.mask for q in model.questions]
    assert masks[0] is None
    assert [m[10, 10] for m in masks if m is not None] == [6.0, 12.0]


def test_one_more_click_is_one_more_question() -> None:
    model = Heard()
    grower = Job.prepare(image(), model).grower()
    grower.grow(clicks(True))
    grower.grow(clicks(True, True))
    grower.grow(clicks(True, True, False))
    assert [len(q.points) for q in model.questions] == [1, 2, 3]
    grower.grow(clicks(True, False))  # the second one was taken back
    assert len(model.questions) == 4


def test_a_model_without_masks_is_told_all_at_once() -> None:
    model = Heard("mask")
    Job.prepare(image(), model).grower().grow(clicks(True, True, False))
    assert [len(q.points) for q in model.questions] == [3]


class Leaking(Perfect):
    """Takes two thirds of what it sees for the object, unless a point tells it otherwise; a network may."""

    def __init__(self, ndim: int) -> None:
        super().__init__(ndim)
        self.card = replace(self.card, trust=LEARNT)

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        masks = super().predict(embedding, prompt)
        if prompt.labels.all() and prompt.mask is not None:
            masks.logits[:, :24] = 6
        return masks


def test_a_neighbour_that_leaks_is_corrected_before_it_is_believed() -> None:
    truth = np.zeros((36, 90), np.uint8)
    truth[:15, 10:80] = 1  # the leaking answer agrees with that by 15 / 24, more than by half
    grown = (
        Job.prepare(truth, Leaking(2), tiling=Tiling(36, 18))
        .grower()
        .grow(Prompt(1, np.array([[7.0, 20]]), np.ones(1, bool)))
    )
    assert not grown.open_edge
    assert np.array_equal(grown.mask.read(Window.of(truth.shape)), truth > 0)
