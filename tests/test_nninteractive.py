"""nnInteractive's session behind the contract: what it is told, in which order, and that its licence is asked for."""

import sys

import numpy as np
import pytest

import nninteractive_fake as fake
from promptile.engine.job import Job
from promptile.errors import ModelError
from promptile.models import fetching, load
from promptile.models.nninteractive.published import FOLDER, PUBLISHED
from promptile.models.protocols import View, WindowPrompt
from promptile.prompts import Prompts
from promptile.testing import ModelContract

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No weights but those of a test, and no consent."""
    for name, value in (("PROMPTILE_WEIGHTS", ""), ("PROMPTILE_CACHE", str(tmp_path / "cache"))):
        monkeypatch.setenv(name, value)
    for name in ("HF_HUB_CACHE", "NNINTERACTIVE_MODEL_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))


@pytest.fixture
def folder(tmp_path):
    return weights(tmp_path / FOLDER)


@pytest.fixture
def model(monkeypatch, folder):
    fake.install(monkeypatch)
    fetching.check_consent(PUBLISHED, accept=True)
    return load("nninteractive", 3, weights=folder)


def weights(root):
    (root / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json", "inference_session_class.json"):
        (root / name).write_text("{}", encoding="utf-8")
    (root / "fold_0" / "checkpoint_final.pth").write_bytes(bytes(2**17))
    return root


def view(samples, spacing=(1.0, 1.0, 1.0)):
    return View(samples[None], np.ones(samples.shape, bool), spacing)


def prompt(points=(), labels=(), **rest):
    return WindowPrompt(np.array(points, float).reshape(-1, 3), np.array(labels, bool), **rest)


def scene():
    samples = np.full((20, 30, 40), -1000, np.int16)
    samples[4:16, 5:15, 6:16] = 40
    samples[6:14, 18:26, 22:36] = 60
    return samples


def told(session):
    return [call for call in session.calls if call[0] in ("mask", "box", "point")]


class TestContract(ModelContract):
    side = (48, 60)

    @pytest.fixture(autouse=True)
    def given(self, model):
        self._model = model

    def model(self):
        return self._model


def test_a_click_is_a_point_and_a_view_is_set_once(model):
    one, other = model.embed([view(scene()), view(scene()[::-1])])
    (session,) = fake.nnInteractiveInferenceSession.made
    for _ in range(2):
        answer = model.predict(one, prompt([(9.6, 9.9, 10.4)], [True]))
    assert (answer.logits[0] > 0).sum() == 12 * 10 * 10
    assert answer.scores.tolist() == [0.5]
    assert [call[0] for call in session.calls] == ["set_image", "reset", "point", "reset", "point"]
    assert told(session)[0] == ("point", (10, 10, 10), True, True)
    model.predict(other, prompt([(9, 9, 10)], [True]))
    model.predict(one, prompt([(9, 9, 10)], [True]))
    assert [call[0] for call in session.calls].count("set_image") == 3


def test_boxes_are_given_in_their_middle_slice(model):
    (embedding,) = model.embed([view(scene(), (0.8, 0.8, 3.0))])
    box = np.array([[3.5, 4.5, 5.5], [15.5, 14.5, 15.5]])
    answer = model.predict(embedding, prompt(box=box))
    (session,) = fake.nnInteractiveInferenceSession.made
    assert told(session) == [("box", [[4, 16], [5, 15], [10, 11]], True)], "across the largest spacing"
    assert (answer.logits[0] > 0).sum() == 12 * 10 * 10
    model.predict(embedding, prompt(box=np.array([[8.5, 4.5, 5.5], [9.5, 14.5, 15.5]])))
    assert told(session)[-1] == ("box", [[9, 10], [5, 15], [6, 16]], True), "flat as it is"
    model.predict(embedding, prompt(box=np.array([[-50.0, 4.5, -5.5], [15.5, 99.0, 15.5]])))
    assert told(session)[-1] == ("box", [[0, 16], [5, 30], [7, 8]], True), "cut at the window"


def test_boxes_are_given_whole_where_the_weights_take_them(monkeypatch, folder):
    session_class = fake.install(monkeypatch, three=True)
    fetching.check_consent(PUBLISHED, accept=True)
    model = load("nninteractive", 3, weights=folder)
    (embedding,) = model.embed([view(scene())])
    model.predict(embedding, prompt(box=np.array([[3.5, 4.5, 5.5], [15.5, 14.5, 15.5]])))
    assert told(session_class.made[0]) == [("box", [[4, 16], [5, 15], [6, 16]], True)]


def test_an_earlier_answer_comes_first_and_is_not_asked_about_alone(model):
    (embedding,) = model.embed([view(scene())])
    mask = np.where(scene() > 50, np.float32(3), np.float32(-3))
    box = np.array([[3.5, 4.5, 5.5], [15.5, 14.5, 15.5]])
    model.predict(embedding, prompt([(9, 9, 10), (9, 22, 30)], [True, False], mask=mask, box=box))
    (session,) = fake.nnInteractiveInferenceSession.made
    assert [(call[0], call[-1]) for call in told(session)] == [
        ("mask", False),
        ("box", True),
        ("point", True),
        ("point", True),
    ]
    assert [call[2] for call in told(session)[2:]] == [True, False]
    answer = model.predict(embedding, prompt(mask=mask))
    assert told(session)[-1] == ("mask", 8 * 8 * 14, True)
    assert (answer.logits[0] > 0).sum() == 8 * 8 * 14
    far = np.array([[-90.0, 4.5, 5.5], [15.5, 14.5, 15.5]])  # its middle is in another window
    model.predict(embedding, prompt(mask=mask, box=far))
    assert told(session)[-1][0] == "mask"


def test_nothing_is_asked_where_there_is_nothing_to_say_or_to_see(model):
    empty = np.zeros((20, 30, 40), np.float32)
    seen, blank, level = model.embed([view(scene()), view(empty), view(empty + 7)])
    unknown = np.zeros(empty.shape, np.float32)
    for embedding, asked in (
        (seen, prompt([(1, 1, 1)], [False])),
        (seen, prompt(mask=unknown)),
        (seen, prompt(box=np.array([[50.0, 1, 1], [60, 9, 9]]))),
        (blank, prompt([(1, 1, 1)], [True])),
        (level, prompt([(1, 1, 1)], [True])),
    ):
        assert not (model.predict(embedding, asked).logits > 0).any()
    assert not told(fake.nnInteractiveInferenceSession.made[0])


def test_what_has_no_value_is_not_shown(model):
    samples = scene().astype(np.float32)
    valid = np.ones(samples.shape, bool)
    samples[:, :, :3], valid[:, :, :3] = np.nan, False
    (embedding,) = model.embed([View(samples[None], valid, (1.0, 1.0, 1.0))])
    answer = model.predict(embedding, prompt([(10, 10, 10)], [True]))
    assert (answer.logits[0] > 0).sum() == 12 * 10 * 10
    assert np.isnan(samples[0, 0, 0]), "the view belongs to others"


def test_objects_grow_over_its_windows(model):
    samples = np.full((20, 40, 260), -100, np.int16)
    samples[5:15, 10:30, 20:240] = 300
    (asked,) = Prompts.of(points=[(10, 20, 30)])
    grown = Job.prepare(samples, model).grower().grow(asked)
    assert grown.tiles > 1
    assert grown.mask.count == 10 * 20 * 220


def test_its_session_is_silent_and_leaves_nothing_to_chance(model, capsys):
    np.random.seed(7)
    expected = np.random.choice(1000)
    np.random.seed(7)
    (embedding,) = model.embed([view(scene())])
    for _ in range(2):
        model.predict(embedding, prompt([(9, 9, 10)], [True]))
    first, second = fake.nnInteractiveInferenceSession.made[0].chance
    assert first == second
    assert np.random.choice(1000) == expected, "what others draw is theirs"
    assert capsys.readouterr().out == ""


def test_its_card_says_what_it_is(model):
    card = model.card
    assert (card.licence, card.ndim, card.input, card.window) == ("CC BY-NC-SA 4.0", 3, "raw", (192, 192, 192))
    assert card.abilities == {"points", "box", "mask"}
    assert len(card.digest) == 64
    with pytest.raises(ModelError, match="takes 3D images"):
        Job.prepare(np.zeros((40, 40)), model)


def test_the_licence_is_shown_and_must_be_accepted(monkeypatch, folder):
    fake.install(monkeypatch)
    with pytest.raises(ModelError, match=r"CC-BY-NC-SA-4.0.*creativecommons.*--accept-licence"):
        load("nninteractive", 3, weights=folder)
    assert not PUBLISHED.free


def test_without_the_package_the_extra_is_named(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "nnInteractive", None)
    fetching.check_consent(PUBLISHED, accept=True)
    with pytest.raises(ModelError, match=r"pip install 'promptile\[nninteractive\]'"):
        load("nninteractive", 3, weights=folder)


def test_its_folder_is_brought_and_found_in_each_layout(monkeypatch, tmp_path):
    fake.install(monkeypatch)
    theirs = weights(tmp_path / "home" / "models" / FOLDER)
    fetching.check_consent(PUBLISHED, accept=True)
    with pytest.raises(ModelError, match="needs its weights"):
        load("nninteractive", 3)
    monkeypatch.setenv("NNINTERACTIVE_MODEL_DIR", str(tmp_path / "home"))
    digests = {load("nninteractive", 3).card.digest}
    for source in (theirs, theirs.parent):  # the folder itself, or what Hugging Face's tools make of the repository
        brought = fetching.fetch(PUBLISHED, file=source)
        monkeypatch.setenv("NNINTERACTIVE_MODEL_DIR", str(tmp_path / "nowhere"))
        digests.add(load("nninteractive", 3).card.digest)
        assert list(brought.rglob("checkpoint_final.pth"))
    assert len(digests) == 1


def test_weights_that_cannot_be_read_are_said_to_be_so(monkeypatch, folder):
    fake.install(monkeypatch)
    fetching.check_consent(PUBLISHED, accept=True)
    (folder / "plans.json").write_text("no plan", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be used"):
        load("nninteractive", 3, weights=folder)
    (folder / "plans.json").unlink()
    with pytest.raises(ModelError, match=r"lacks .*plans\.json"):
        load("nninteractive", 3, weights=folder)
