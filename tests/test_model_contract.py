"""Every model passes the contract, and the contract fails for a model that breaks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfect import Perfect
from promptile import models
from promptile.models.protocols import Detections, Masks, Model, ModelCard
from promptile.testing import ModelContract


class TestBasinInImages(ModelContract):
    def model(self) -> Model:
        return models.load("basin", 2)


class TestBasinInVolumes(ModelContract):
    side = (64, 80)

    def model(self) -> Model:
        return models.load("basin", 3)


class Sloppy(Perfect):
    """Breaks one rule."""

    def __init__(self, breaks: str) -> None:
        super().__init__(2)
        self.breaks = breaks
        self.asked = 0
        self.card = replace(self.card, input="rendered", licence="" if breaks == "licence" else "BSD-3-Clause")
        if breaks == "ability":
            self.card = replace(self.card, abilities=frozenset({"points", "sing"}))

    def embed(self, views):
        if self.breaks == "views":
            views[0].samples[:] = 0
        embeddings = [replace(e, content=np.rint(e.content * 5).astype(int)) for e in super().embed(views)]
        return embeddings[:1] if self.breaks == "embed" else embeddings

    def predict(self, embedding, prompt):
        self.asked += 1
        logits = super().predict(embedding, replace(prompt, points=prompt.points[:1], labels=prompt.labels[:1])).logits
        both, scores = np.concatenate([logits, -logits]), np.array([0.9, 0.1])
        if self.breaks == "order":
            scores = scores[::-1]
        if self.breaks == "scores":
            scores = scores + 1
        if self.breaks == "shape":
            both = both[:, 1:]
        if self.breaks == "dtype":
            both = both.astype(float)
        if self.breaks == "steady":
            both = both * self.asked
        if self.breaks == "obvious":
            both = both * 0 - 1
        return Masks(both, scores)


RULES = {
    "none": None,
    "licence": "test_the_card_says_what_the_model_is",
    "ability": "test_the_card_says_what_the_model_is",
    "views": "test_views_are_left_as_they_are",
    "embed": "test_embeddings_are_one_per_view_and_say_what_they_weigh",
    "order": "test_the_best_answer_comes_first",
    "scores": "test_scores_are_guesses_of_an_iou",
    "shape": "test_answers_have_the_window_s_shape_and_one_score_each",
    "dtype": "test_answers_have_the_window_s_shape_and_one_score_each",
    "steady": "test_the_same_question_gets_the_same_answer",
    "obvious": "test_the_obvious_is_found",
}


class SloppyReader:
    """Finds and ranks the same whatever it is asked, and breaks one rule."""

    def __init__(self, breaks: str) -> None:
        self.breaks = breaks
        abilities = frozenset({"text", "rank"} if breaks != "detect" else {"text", "rank", "propose"})
        self.card = ModelCard(name="r", family="r", abilities=abilities, ndim=2, digest="r", licence="MIT", channels=3)

    def detect(self, views, phrases, thresholds):
        found = [self._seen(view, thresholds.box) for view in views]
        return found[:1] if self.breaks == "views" else found

    def _seen(self, view, least):
        shape = np.array(view.shape)
        boxes = np.stack([np.stack([shape * 0, shape / (2 + i)]) - 0.5 for i in range(4)])
        scores, phrases = np.array([0.9, 0.7, 0.5, 0.3]), np.array([0, 1, 2, 0])
        if self.breaks == "border":
            boxes[1, 1] = shape
        if self.breaks == "order":
            scores = scores[::-1]
        if self.breaks == "phrases":
            phrases = phrases + 1
        kept = scores > (0 if self.breaks == "threshold" else least)
        return Detections(boxes[kept], scores[kept], phrases[kept])

    def rank(self, pictures, phrases):
        return np.full((len(pictures), len(phrases)), len(pictures) * (self.breaks == "alone"), np.float32)


READING = {
    "nothing": None,
    "detect": "test_abilities_have_their_methods",
    "views": "test_views_are_searched_as_each_one_is",
    "border": "test_detections_lie_in_the_view",
    "order": "test_the_best_detection_comes_first",
    "phrases": "test_detections_name_phrases_that_were_asked_for",
    "threshold": "test_a_threshold_takes_the_weaker_detections_away",
    "alone": "test_pictures_are_ranked_one_by_one",
}


def broken_rules(model: Model) -> list[str]:
    contract = type("Contract", (ModelContract,), {"model": lambda self: model})()
    failed = []
    for name in (name for name in dir(contract) if name.startswith("test_")):
        try:
            getattr(contract, name)()
        except (AssertionError, ValueError):
            failed.append(name)
    return failed


@pytest.mark.parametrize("breaks", RULES)
def test_who_breaks_a_rule_is_told(breaks: str) -> None:
    failed = broken_rules(Sloppy(breaks))
    assert RULES[breaks] in failed if RULES[breaks] else not failed


@pytest.mark.parametrize("breaks", READING)
def test_readers_who_break_a_rule_are_told(breaks: str) -> None:
    failed = broken_rules(SloppyReader(breaks))
    assert READING[breaks] in failed if READING[breaks] else not failed
