"""A model that wants a spacing of its own: what it finds lies where it lies, on any grid, over several tiles."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

import promptile as pt
from perfect import Perfect
from promptile.engine.job import Job
from promptile.engine.respaced import Respaced, StorableRespaced, respaced
from promptile.errors import ModelError
from promptile.grid import Grid
from promptile.models.protocols import Embedding, Masks, ModelCard, View, WindowPrompt
from promptile.prompts.prompts import Prompts
from promptile.session.setting import Setting
from promptile.sources.arrays import ArraySource
from promptile.testing import ModelContract


class Half:
    """Perfect on resampled samples: what is above one half, connected or not, near the prompt's side of it."""

    def __init__(self, spacing=(1.0, 1.0, 1.0), window=(32, 32, 32)):
        self.shapes = set()
        self.spacings = set()
        self.prompts = []
        self.card = ModelCard(
            name="half",
            family="test",
            abilities=frozenset({"points", "box", "mask"}),
            ndim=len(spacing),
            input="raw",
            window=window,
            spacing=spacing,
            licence="MIT",
            digest="half",
        )

    def embed(self, views):
        for view in views:
            assert view.samples.shape[1:] == view.valid.shape
            self.shapes.add(view.shape)
            self.spacings.add(view.spacing)
        return [Embedding(view.samples[0].copy(), self.card.digest, view.samples.nbytes) for view in views]

    def predict(self, embedding, prompt):
        self.prompts.append(prompt)
        assert prompt.mask is None or prompt.mask.shape == embedding.content.shape
        return Masks((12 * (embedding.content - 0.5)).astype(np.float32)[None], np.ones(1))


class Kept(Half):
    def pack(self, embedding):
        return {"samples": embedding.content}

    def unpack(self, arrays):
        return Embedding(arrays["samples"], self.card.digest, arrays["samples"].nbytes)


def ball(shape, spacing, middle, radius):
    """A ball as a scanner sees it: the share of each sample that is object; middle and radius in millimetres."""
    places = np.moveaxis(np.indices(shape), 0, -1) * spacing
    away = np.linalg.norm(places - np.asarray(middle), axis=-1)
    return np.clip((radius - away) / np.mean(spacing) + 0.5, 0, 1).astype(np.float32)


def oblique(shape, spacing):
    """Axes turned in space, with this spacing."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = 10, -20, 30
    return Grid.of(shape, affine, "LPS")


def found(image, grid, model, prompts):
    (prompt,) = prompts
    grown = Job.prepare(ArraySource(image[None], grid), model).grower().grow(prompt)
    mask = np.zeros(image.shape, bool)
    mask[grown.mask.window.slices] = grown.mask.read(grown.mask.window)
    return mask


@pytest.mark.parametrize("spacing", [(5.0, 0.8, 0.8), (0.8, 0.9, 2.5), (3.0, 1.0, 0.7)])
@pytest.mark.parametrize("asked", ["point", "box"])
def test_objects_lie_where_they_are_in_anisotropic_and_oblique_volumes(spacing, asked):
    shape = tuple(int(70 / s) for s in spacing)
    middle, radius = np.array([33.3, 36.1, 34.7]), 22.0
    image, grid = ball(shape, spacing, middle, radius), oblique(shape, spacing)
    box = np.stack([middle - radius, middle + radius]) / spacing
    prompts = Prompts.of(points=[middle / spacing]) if asked == "point" else Prompts.of(boxes=[box])
    model = Half(window=(48, 48, 48))
    mask = found(image, grid, model, prompts)
    truth = image > 0.5
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97
    places = np.moveaxis(np.indices(shape), 0, -1)[mask ^ truth] * spacing
    assert np.abs(np.linalg.norm(places - middle, axis=-1) - radius).max(initial=0) < 1.0  # a sample of the model
    shift = np.argwhere(mask).mean(axis=0) - np.argwhere(truth).mean(axis=0)
    assert np.abs(shift * spacing).max() < 0.1
    assert (48, 48, 48) in model.shapes, "a window has the model's own size"
    assert np.max(list(model.shapes)) == 48
    ratios = [max(s) / min(s) for s in model.spacings]
    assert max(ratios) < 1.1, "what the model sees is isotropic, at coarser levels too"


def test_it_is_exact_where_the_spacing_fits():
    image = ball((60, 60, 60), (1, 1, 1), (30, 31, 29), 24)
    grid = oblique(image.shape, (1, 1, 1))
    asked, plain = Half(), Half()
    plain.card = replace(plain.card, spacing=None)
    prompts = Prompts.of(points=[(30, 31, 29)])
    assert (found(image, grid, asked, prompts) == (image > 0.5)).all()
    assert (found(image, grid, plain, prompts) == (image > 0.5)).all()


def test_other_objects_are_left_alone_over_tiles():
    labels = np.zeros((24, 90, 90), np.uint8)
    labels[4:20, 10:75, 12:24] = 1
    labels[6:18, 12:70, 50:80] = 2
    grid = oblique(labels.shape, (3.0, 1.0, 1.0))
    model = Perfect(3, pieces=True)
    model.card = replace(model.card, spacing=(1.0, 1.0, 1.0), window=(36, 36, 36))
    image = np.where(labels == 1, np.uint8(1), np.uint8(0))  # a label has no values in between
    assert (found(image, grid, model, Prompts.of(points=[(10, 20, 15)])) == (labels == 1)).mean() > 0.99


@pytest.mark.parametrize(("shape", "spacing"), [((13, 40, 40), (5.0, 0.8, 0.8)), ((40, 9, 64), (0.7, 3.0, 0.5))])
def test_points_boxes_masks_and_answers_are_carried_without_a_shift(shape, spacing):
    inner = Half(window=(64, 32, 32))
    model = respaced(inner, spacing)
    slope = np.indices(shape, np.float32) + np.float32(0.5)  # share of the way from edge to edge, along each axis
    for axis in range(3):
        samples = slope[axis][None] / shape[axis]
        (embedding,) = model.embed([View(samples, np.ones(shape, bool), spacing)])
        answer = model.predict(embedding, _asking(samples[0]))
        middle = [slice(3, -3)] * 3  # the outermost half sample stays as it is
        assert np.allclose(answer.logits[0][tuple(middle)], (12 * (samples[0] - 0.5))[tuple(middle)], atol=0.05)
        got = inner.prompts[-1]
        size = embedding.content.seen
        assert np.allclose((got.points + 0.5) / size, (np.array([[6, 5, 20]]) + 0.5) / shape)
        assert np.allclose((got.box + 0.5) / size, [[0, 0, 0], [1, 1, 1]])
        inside = np.moveaxis(np.indices(size), 0, -1)[..., axis] + 0.5
        assert np.allclose(got.mask[tuple(middle)], (inside / size[axis])[tuple(middle)], atol=0.05)


def _asking(mask):
    whole = np.array([[0, 0, 0], mask.shape]) - 0.5
    return WindowPrompt(np.array([[6.0, 5.0, 20.0]]), np.ones(1, bool), box=whole, mask=mask)


def test_what_has_no_value_does_not_bleed_into_what_has():
    seen = []
    inner = Half(window=(16, 16, 16))
    inner.embed = lambda views: (seen.extend(views), Half.embed(inner, views))[1]
    samples = np.full((1, 8, 32, 32), 900, np.int16)
    valid = np.ones((8, 32, 32), bool)
    valid[:, :, :9] = False
    samples[0][~valid] = -32768
    respaced(inner, (2.0, 0.6, 0.6)).embed([View(samples, valid, (2.0, 0.6, 0.6))])
    (view,) = seen
    assert view.samples.dtype == np.int16
    assert set(np.unique(view.samples[0][view.valid])) == {900}
    assert set(np.unique(view.samples[0][~view.valid])) == {-32768}
    assert view.valid.mean() == pytest.approx(valid.mean(), abs=0.03)


def test_fewer_samples_are_averages():
    seen = []
    inner = Half(spacing=(1.0, 1.0), window=(16, 16))
    inner.embed = lambda views: (seen.extend(views), Half.embed(inner, views))[1]
    noise = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    respaced(inner, (0.25, 0.25)).embed([View(noise, np.ones((64, 64), bool), (0.25, 0.25))])
    assert seen[0].shape == (16, 16)
    assert seen[0].samples.std() < 0.3


def test_coarser_levels_are_seen_as_coarse():
    inner = Half(window=(32, 32, 32))
    model = respaced(inner, (5.0, 1.0, 1.0))
    size = model.card.window
    assert size == (8, 32, 32)  # no shorter
    for factor in (1, 2, 4):
        model.embed([View(np.zeros((1, *size), np.float32), np.ones(size, bool), (5.0, factor, factor))])
    assert {shape[1:] for shape in inner.shapes} <= {(32, 32)}


def test_the_card_says_what_the_grid_needs():
    model = respaced(Half(window=(64, 64, 64)), (4.0, 0.5, 0.5))
    assert model.card.window == (16, 128, 128)
    assert model.card.spacing is None
    assert respaced(model, (4.0, 0.5, 0.5)) is model
    assert "4x0.5x0.5" in model.card.digest
    assert isinstance(model, Respaced)
    assert not isinstance(model, StorableRespaced)
    assert pickle.loads(pickle.dumps(model)).card == model.card


def test_what_is_kept_on_disk_is_the_same_again():
    model = respaced(Kept(window=(32, 32, 32)), (4.0, 1.0, 1.0))
    assert isinstance(model, StorableRespaced)
    image = ball((8, 32, 32), (4, 1, 1), (16, 16, 16), 9)[None]
    (embedding,) = model.embed([View(image, np.ones((8, 32, 32), bool), (4.0, 1.0, 1.0))])
    again = model.unpack({name: np.array(array) for name, array in model.pack(embedding).items()})
    asked = WindowPrompt(np.array([[4.0, 16.0, 16.0]]), np.ones(1, bool))
    assert (model.predict(embedding, asked).logits == model.predict(again, asked).logits).all()


def test_cards_that_make_no_sense_are_refused():
    for spacing in [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0)]:
        wrong = Half()
        wrong.card = replace(wrong.card, spacing=spacing)
        with pytest.raises(ModelError, match="3 positive numbers"):
            Job.prepare(np.zeros((20, 20, 20), np.float32), wrong)


def test_wrong_answers_are_told_as_such():
    inner = Half()
    inner.predict = lambda embedding, prompt: Masks(np.zeros((1, 3, 3, 3), np.float32), np.ones(1))
    model = respaced(inner, (2.0, 1.0, 1.0))
    (embedding,) = model.embed([View(np.zeros((1, 16, 32, 32), np.float32), np.ones((16, 32, 32), bool), (2, 1, 1))])
    with pytest.raises(ModelError, match="answered with shape"):
        model.predict(embedding, _asking(np.zeros((16, 32, 32), np.float32)))


class TestContract(ModelContract):
    side = (48, 64)

    def model(self):
        return respaced(_Rendered(), (1.0, 1.0, 1.0))


class _Rendered(Kept):
    def __init__(self):
        super().__init__(spacing=(0.8, 1.5, 1.5), window=(20, 32, 43))
        self.card = replace(self.card, input="rendered")


def test_a_session_asks_the_same_model_again():
    image = ball((14, 40, 40), (3, 1, 1), (20, 20, 20), 12)
    job = Job.prepare(ArraySource(image[None], oblique(image.shape, (3, 1, 1))), Half())
    stored = json.loads(json.dumps(Setting(job).to_json()))
    for model in (Half(), job.model):  # by name, or the one that is loaded
        again = Setting.from_json(stored, job.source, model).job
        assert again.model.card == job.model.card
        assert again.size == job.size


def test_slices_of_a_volume_are_resampled_within_each_slice():
    image = ball((12, 50, 70), (4.0, 1.4, 0.7), (24, 35, 24), 17)
    model = Half(spacing=(1.0, 1.0), window=(64, 64))
    mask = found(image, oblique(image.shape, (4.0, 1.4, 0.7)), model, Prompts.of(points=[(6, 25, 34)]))
    truth = image > 0.5
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95
    assert {len(shape) for shape in model.shapes} == {2}
    assert np.allclose(list(model.spacings), 1.0, rtol=0.03)


class Sharp(Perfect):
    """Its logits leave no doubt between two samples, which would count as an unstable mask."""

    def predict(self, embedding, prompt):
        masks = super().predict(embedding, prompt)
        return Masks(masks.logits * 50, masks.scores)


def test_everything_is_found_by_points():
    balls = [ball((64, 64, 64), (1, 1, 1), middle, 9) for middle in ((20, 20, 20), (45, 45, 45))]
    model = Sharp(3, pieces=True)
    model.card = replace(model.card, spacing=(2.0, 2.0, 2.0), abilities=model.card.abilities | {"propose"})
    run = pt.segment((sum(balls) > 0.5).astype(np.uint8), model=model, everything=True)
    assert len(run.objects) == 2
