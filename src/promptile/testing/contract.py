"""`ModelContract`: the tests, and the scene that a model is tried with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.models.protocols import (
    Ability,
    Batched,
    Detector,
    Masks,
    Model,
    ModelCard,
    Promptable,
    Proposer,
    Ranker,
    Remembering,
    Storable,
    View,
    WindowPrompt,
)
from promptile.testing.texts import TextContract, check

_GROUND, _OBJECT = 0.2, 0.8


class ModelContract(TextContract):
    """The contract of models. Subclass it, say which model, and let pytest run it.

    Attributes
    ----------
    side : tuple of int
        Samples of the windows that are tried, along each of two axes; a volume's third is the smaller one.
    finds_the_obvious : bool
        Whether the model is good enough to find one bright disc on dark ground; False for random weights.
    """

    side: tuple[int, int] = (96, 128)
    finds_the_obvious = True

    def model(self) -> Model:
        """The model, ready to be asked. Called once per test: keep one if it is slow to make."""
        raise NotImplementedError("Say which model is meant: def model(self): return MyModel()")

    # The card

    def test_the_card_says_what_the_model_is(self) -> None:
        card = self.model().card
        check(isinstance(card, ModelCard), f"card is a {type(card).__name__}, not a ModelCard")
        check(bool(card.name and card.family), "the card needs a name and a family")
        unknown = set(card.abilities) - set(get_args(Ability))
        check(not unknown, f"abilities {sorted(unknown)} are not known; there are {get_args(Ability)}")
        check(card.ndim in (2, 3), f"ndim is {card.ndim}, and images have 2 axes, volumes 3")
        check(bool(card.digest), "the card needs a digest: runs are only gone on with by the same model")
        check(bool(card.licence), "the card needs a licence: people must know what they may do with it")

    def test_abilities_have_their_methods(self) -> None:
        model = self.model()
        if model.card.abilities & {"points", "box", "mask"}:
            check(isinstance(model, Promptable), "a model that takes prompts needs embed and predict")
        if "memory" in model.card.abilities:
            check(isinstance(model, Remembering), "a model that has a memory needs remember and recall")
        if "propose" in model.card.abilities:
            check(isinstance(model, Proposer), "a model that proposes needs propose")
        if "text" in model.card.abilities:
            check(isinstance(model, Detector), "a model that takes texts needs detect")
        if "rank" in model.card.abilities:
            check(isinstance(model, Ranker), "a model that ranks needs rank")

    # Embeddings

    def test_embeddings_are_one_per_view_and_say_what_they_weigh(self) -> None:
        if (model := self._promptable()) is None:
            return
        views = [self._scene()[0], self._scene(shift=7)[0]]
        embeddings = model.embed(views)
        check(len(embeddings) == 2, f"embed gave {len(embeddings)} embeddings for 2 views")
        for embedding in embeddings:
            check(embedding.model == model.card.digest, "an embedding must carry its model's digest")
            check(embedding.nbytes > 0, "an embedding must say how many bytes it holds")

    def test_a_batch_of_views_is_embedded_as_each_one_is(self) -> None:
        if (model := self._promptable()) is None:
            return
        scenes = [self._scene(), self._scene(shift=7)]
        together = model.embed([view for view, _ in scenes])
        for (view, truth), embedding in zip(scenes, together, strict=True):
            (alone,) = model.embed([view])
            prompt = self._prompts(truth)[0]
            _same(model.predict(embedding, prompt), model.predict(alone, prompt), "embedded in a batch and alone")

    def test_views_are_left_as_they_are(self) -> None:
        if (model := self._promptable()) is None:
            return
        view, truth = self._scene()
        before = view.samples.copy()
        (embedding,) = model.embed([view])
        model.predict(embedding, self._prompts(truth)[0])
        check(bool((view.samples == before).all()), "the view was written to: it belongs to others")

    def test_what_is_kept_on_disk_answers_the_same(self) -> None:
        model = self._promptable()
        if not isinstance(model, Storable):
            return
        view, truth = self._scene()
        (embedding,) = model.embed([view])
        packed = {name: np.array(array) for name, array in model.pack(embedding).items()}
        for name, array in packed.items():
            check(array.dtype.kind in "biuf", f"packed array {name!r} is {array.dtype}: only plain numbers are kept")
        again = model.pack(model.unpack({name: array.copy() for name, array in packed.items()}))
        check(set(again) == set(packed), "packing again gives other names")
        for name, array in packed.items():
            check(bool(np.array_equal(array, again[name])), f"packing again changes {name!r}")
        prompt = self._prompts(truth)[0]
        first, second = (model.predict(model.unpack(dict(packed)), prompt) for _ in range(2))
        _same(first, second, "unpacked twice")

    # Answers

    def test_answers_have_the_window_s_shape_and_one_score_each(self) -> None:
        if (model := self._promptable()) is None:
            return
        for view, truth in (self._scene(), self._scene(odd=True), self._scene(hole=True)):
            (embedding,) = model.embed([view])
            for prompt in self._prompts(truth):
                masks = model.predict(embedding, prompt)
                _check_masks(masks, view.shape)

    def test_the_best_answer_comes_first(self) -> None:
        for masks in self._answers():
            scores = masks.scores
            check(bool((np.diff(scores) <= 1e-6).all()), f"scores {scores} are not sorted, the best first")

    def test_scores_are_guesses_of_an_iou(self) -> None:
        for masks in self._answers():
            scores = masks.scores
            check(bool(((scores >= 0) & (scores <= 1)).all()), f"scores {scores} are not between 0 and 1")

    def test_the_same_question_gets_the_same_answer(self) -> None:
        if (model := self._promptable()) is None:
            return
        view, truth = self._scene()
        (embedding,) = model.embed([view])
        for prompt in self._prompts(truth):
            first = model.predict(embedding, prompt)
            _same(first, model.predict(embedding, prompt), "asked twice")

    def test_several_threads_get_the_same_answer(self) -> None:
        if (model := self._promptable()) is None:
            return
        view, truth = self._scene()
        (embedding,) = model.embed([view])
        prompts = self._prompts(truth)
        alone = [model.predict(embedding, prompt) for prompt in prompts]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda prompt: model.predict(embedding, prompt), prompts))
        for one, other in zip(alone, together, strict=True):
            _same(one, other, "asked alone and from four threads")

    def test_many_prompts_at_once_are_answered_as_each_one_is(self) -> None:
        model = self._promptable()
        if not isinstance(model, Batched):
            return
        view, truth = self._scene()
        (embedding,) = model.embed([view])
        prompts = self._prompts(truth)
        for one, other in zip(
            model.predict_batch(embedding, prompts), [model.predict(embedding, p) for p in prompts], strict=True
        ):
            _same(one, other, "asked in a batch and alone")

    def test_the_obvious_is_found(self) -> None:
        model = self._promptable()
        if model is None or not self.finds_the_obvious:
            return
        view, truth = self._scene()
        (embedding,) = model.embed([view])
        for prompt in self._prompts(truth):
            best = max(_iou(logits > 0, truth) for logits in model.predict(embedding, prompt).logits)
            check(best > 0.7, f"a bright disc was found with an IoU of {best:.2f} only, from {_kind(prompt)}")

    # Proposals

    def test_proposals_lie_in_the_view(self) -> None:
        model = self.model()
        if not isinstance(model, Proposer) or "propose" not in model.card.abilities:
            return
        view, truth = self._scene()
        proposals = model.propose(view)
        for proposal in proposals:
            check(proposal.window in Window.of(view.shape), f"{proposal.window} is not inside {view.shape}")
            check(proposal.samples.shape == proposal.window.shape, "samples and window of a proposal differ in shape")
            check(bool(proposal.samples.any()), "a proposal without samples is none")
            check(0 <= proposal.score <= 1, f"score {proposal.score} is not between 0 and 1")
        if self.finds_the_obvious:
            whole = [_spread(p.window, p.samples, view.shape) for p in proposals]
            best = max((_iou(mask, truth) for mask in whole), default=0.0)
            check(best > 0.7, f"a bright disc was proposed with an IoU of {best:.2f} only")

    # What is asked

    def _promptable(self) -> Promptable | None:
        model = self.model()
        return model if isinstance(model, Promptable) and model.card.abilities & {"points", "box", "mask"} else None

    def _answers(self) -> list[Masks]:
        if (model := self._promptable()) is None:
            return []
        view, truth = self._scene()
        (embedding,) = model.embed([view])
        return [model.predict(embedding, prompt) for prompt in self._prompts(truth)]

    def _scene(self, *, shift: int = 0, odd: bool = False, hole: bool = False) -> tuple[View, NDArray[np.bool_]]:
        """A bright disc, or ball, on dark ground with a little noise; a part without data where there is a `hole`."""
        card = self.model().card
        plane = tuple(n - 13 for n in self.side) if odd else self.side
        shape = plane if card.ndim == 2 else (max(plane[0] // 3, 16), *plane)
        radius = min(shape) / (3 if card.ndim == 2 else 2.6)
        middle = np.subtract(shape, 1) / 2 + np.array([0] * (len(shape) - 1) + [shift])
        truth = ((np.moveaxis(np.indices(shape), 0, -1) - middle) ** 2).sum(axis=-1) < radius**2
        noise = np.random.default_rng(0).normal(0, 0.02, (card.channels or 3, *shape))
        samples = (np.where(truth, _OBJECT, _GROUND) + noise).astype(np.float32)
        valid = np.ones(shape, bool)
        if hole:
            valid[..., : shape[-1] // 8] = False
            samples = np.where(valid, samples, np.float32(0))
        if card.input == "raw":
            samples = (1000 * samples).round().astype(np.int16)
        return View(samples, valid, (1.0,) * card.ndim), truth

    def _prompts(self, truth: NDArray[np.bool_]) -> list[WindowPrompt]:
        """One question of each kind that the card says the model takes."""
        card = self.model().card
        places = np.argwhere(truth)
        middle = places.mean(axis=0)
        none = np.zeros((0, truth.ndim))
        prompts = []
        if "points" in card.abilities:
            prompts.append(WindowPrompt(middle[None], np.ones(1, bool)))
            outside = np.array([n / 12 for n in truth.shape])
            if card.max_points is None or card.max_points > 1:
                prompts.append(WindowPrompt(np.stack([middle, outside]), np.array([True, False])))
        if "box" in card.abilities:
            box = np.stack([places.min(axis=0) - 0.5, places.max(axis=0) + 0.5])
            prompts.append(WindowPrompt(none, np.zeros(0, bool), box=box))
        if "mask" in card.abilities:
            logits = np.where(truth, np.float32(8), np.float32(-8))
            prompts.append(WindowPrompt(middle[None], np.ones(1, bool), mask=logits))
        return prompts


def _check_masks(masks: Masks, shape: tuple[int, ...]) -> None:
    check(masks.logits.shape[1:] == shape, f"logits have shape {masks.logits.shape[1:]} for a window of {shape}")
    check(len(masks.logits) > 0, "an answer needs at least one mask")
    check(masks.scores.shape == (len(masks.logits),), f"{len(masks.logits)} masks, scores {masks.scores.shape}")
    check(masks.logits.dtype == np.float32, f"logits are {masks.logits.dtype}, and float32 is needed")
    check(bool(np.isfinite(masks.logits).all()), "logits must be numbers")


def _same(one: Masks, other: Masks, when: str) -> None:
    check(one.logits.shape == other.logits.shape, f"another number of masks when {when}")
    near = np.allclose(one.logits, other.logits, rtol=1e-3, atol=1e-3)
    check(near, f"logits differ by up to {np.abs(one.logits - other.logits).max():.2g} when {when}")
    check(bool(np.allclose(one.scores, other.scores, atol=1e-4)), f"scores differ when {when}")


def _iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def _spread(window: Window, samples: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    whole = np.zeros(shape, bool)
    whole[window.slices] = samples
    return whole


def _kind(prompt: WindowPrompt) -> str:
    parts = (
        f"{len(prompt.points)} points",
        "a box" if prompt.box is not None else "",
        "a mask" * (prompt.mask is not None),
    )
    return " and ".join(part for part in parts if part)
