"""Models that a card describes answer as the same networks do in torch; every mistake in a card is named."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from promptile import models
from promptile.cli import main
from promptile.errors import ModelError
from promptile.models.generic import load
from promptile.models.generic.card import read_card
from promptile.models.generic.fit import Fit
from promptile.models.protocols import View, WindowPrompt
from promptile.testing import ModelContract

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
yaml = pytest.importorskip("yaml")

import generic_small  # noqa: E402
from promptile.models.sam.frame import Frame  # noqa: E402
from promptile.models.sam.model import Sam  # noqa: E402
from promptile.models.sam.nets.network import Questions  # noqa: E402

SIDE = generic_small.VARIANTS["sam"].side
SHAPES = [(SIDE, SIDE), (90, 160), (300, 120)]
MIDDLE = np.array([[40.0, 70.0]])
BOX = np.array([[9.5, 19.5], [69.5, 99.5]])
YES = np.ones(1, bool)
NONE = np.zeros((0, 2))


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("cards")

    @cache
    def made(kind: str) -> Path:
        return generic_small.write(folder / kind, kind)

    return made


def ours(kind: str) -> Sam:
    """The same network as one of the family."""
    variant = generic_small.VARIANTS[kind.split("-")[0]]
    return Sam(variant, generic_small.network(variant), torch.device("cpu"), "small")


def view(shape: tuple[int, int]) -> View:
    samples = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    return View(samples, np.ones(shape, bool), (1.0, 1.0))


def prompts(shape: tuple[int, int], abilities: frozenset[str]) -> dict[str, WindowPrompt]:
    asked = {
        "a point": WindowPrompt(MIDDLE, YES),
        "two points": WindowPrompt(np.vstack([MIDDLE, [[80.0, 10.0]]]), np.array([True, False])),
        "a box": WindowPrompt(NONE, np.zeros(0, bool), box=BOX),
        "a box and a point": WindowPrompt(MIDDLE, YES, box=BOX),
        "nothing": WindowPrompt(NONE, np.zeros(0, bool)),
    }
    if "mask" in abilities:
        mask = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        asked["a point and a mask"] = WindowPrompt(MIDDLE, YES, mask=mask)
        asked["a mask"] = WindowPrompt(NONE, np.zeros(0, bool), mask=mask)
    return asked


@pytest.mark.parametrize("shape", SHAPES)
def test_sam_s_official_decoder_answers_as_ours(shape: tuple[int, int], cards) -> None:
    mine, theirs = ours("sam"), load(cards("sam"), 2)
    (seen,), (known) = theirs.embed([view(shape)]), mine.embed([view(shape)])[0]
    for what, prompt in prompts(shape, theirs.card.abilities).items():
        expected, got = mine.predict(known, prompt), theirs.predict(seen, prompt)
        assert got.logits.shape == expected.logits.shape, what
        np.testing.assert_allclose(got.logits, expected.logits, atol=2e-4, err_msg=what)
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-4, err_msg=what)


@pytest.mark.parametrize("kind", ["efficient", "efficient-jit"])
@torch.inference_mode()
def test_efficient_sam_s_files_answer_as_ours(kind: str, cards) -> None:
    network = generic_small.network(generic_small.VARIANTS["efficient"])
    theirs = load(cards(kind), 2, device="cpu")
    assert theirs.card.max_points == 6
    # As large as the decoder's masks: nothing is resized on the way back.
    shape = (SIDE // 4, SIDE // 4)
    frame = Frame(shape, SIDE, stretch=True)
    (seen,), (known,) = theirs.embed([view(shape)]), ours(kind).embed([view(shape)])
    for what, prompt in prompts(shape, theirs.card.abilities).items():
        got = theirs.predict(seen, prompt)
        if what == "nothing":
            assert (got.logits < 0).all()
            continue
        asked = Questions(
            torch.from_numpy(frame.places(prompt.points))[None],
            torch.from_numpy(prompt.labels.astype(np.int64))[None],
            None if prompt.box is None else torch.from_numpy(frame.corners(prompt.box))[None],
        )
        logits, iou = network.decode(known.content.features, asked, ambiguous=True)
        order = iou[0].argsort(descending=True)
        np.testing.assert_allclose(got.logits, logits[0, order].numpy(), atol=2e-4, err_msg=what)
        np.testing.assert_allclose(got.scores, iou[0, order].clamp(0, 1).numpy(), atol=1e-4, err_msg=what)


class TestCard(ModelContract):
    finds_the_obvious = False  # its weights are no result of training

    @pytest.fixture(autouse=True)
    def _model(self, cards) -> None:
        self._generic = load(cards("sam"), 2)

    def model(self):
        return self._generic


def test_a_card_is_a_model_wherever_models_are_named(cards, capsys: pytest.CaptureFixture[str]) -> None:
    path = cards("sam")
    assert models.load(str(path), 2).card.family == "small SAM"
    assert main(["models", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "small SAM" in shown
    assert "MIT" in shown


def test_openvino_answers_the_same(cards) -> None:
    pytest.importorskip("openvino")
    one, other = (load(cards("sam"), 2, runtime=runtime) for runtime in ("onnx", "openvino"))
    assert one.card.digest != other.card.digest
    prompt = WindowPrompt(MIDDLE, YES)
    answers = [model.predict(model.embed([view((90, 160))])[0], prompt) for model in (one, other)]
    np.testing.assert_allclose(answers[0].logits, answers[1].logits, atol=2e-4)


def test_workers_load_the_same_card(cards) -> None:
    model = load(cards("sam"), 2)
    again, arguments = model.__reduce__()
    assert again(*arguments).card == model.card


@pytest.mark.parametrize("kind", ["pad", "letterbox", "stretch"])
@pytest.mark.parametrize("shape", [(64, 64), (30, 48), (200, 90)])
def test_what_is_fitted_comes_back(kind: str, shape: tuple[int, int]) -> None:
    fit = Fit(shape, 64, kind)
    rows, columns = np.indices(shape)
    field = (rows / shape[0] + 2 * columns / shape[1]).astype(np.float32)
    there = fit.image(field[None])
    middle = np.divide(shape, 2) - 0.5
    x, y = fit.places(middle)
    assert there[0, round(float(y)), round(float(x))] == pytest.approx(field[tuple(middle.astype(int))], abs=0.15)
    back = fit.back(there)[0]
    inner = tuple(slice(n // 8, -(n // 8)) for n in shape)
    np.testing.assert_allclose(back[inner], field[inner], atol=0.06)


# Mistakes


def changed(path: Path, key: str, value: object) -> Path:
    """The card with another value at a key like ``image.side``; None takes it away."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    *tables, last = key.split(".")
    table = content
    for name in tables:
        table = table[name]
    if value is None:
        del table[last]
    else:
        table[last] = value
    wrong = path.with_name("wrong.json")
    wrong.write_text(json.dumps(content), encoding="utf-8")
    return wrong


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("name", None, "name is missing: give a text"),
        ("licence", "", "licence is '': use a text"),
        ("image", 3, "image is 3: use a table of keys"),
        ("image.side", None, "image.side is missing: give a whole number from 1"),
        ("image.side", "1024", "image.side is '1024': use a whole number from 1"),
        ("image.side", 0, "image.side is 0: use a whole number from 1"),
        ("image.fit", "crop", "image.fit is 'crop': use pad, stretch or letterbox"),
        ("image.mean", [1, 2], r"image.mean is \[1, 2\]: use a list of 3 numbers"),
        ("image.std", [1, 0, 1], r"image.std is \[1, 0, 1\]: use a list of 3 numbers other than 0"),
        ("image.sied", 3, "image.sied is unknown: there are side, fit, white, mean, std"),
        ("points.box", [2], r"points.box is \[2\]: use a list of 2 whole numbers"),
        ("points.axes", 5, "points.axes is 5: use a whole number from 3 to 4"),
        ("points.positive", True, "points.positive is True: use a whole number"),
        ("encoder.file", "gone.onnx", r"encoder.file is '.*gone\.onnx': use the name of a file beside the card"),
        ("encoder.inputs", ["image"], r"encoder.inputs is \['image'\]: use a table, tensor: what it is"),
        ("encoder.outputs", {}, "encoder.outputs is {}: use a table"),
        ("encoder.method", "forward", "encoder.method is unknown: there are file, inputs, outputs"),
        ("decoder.inputs.point_coords", "pionts", "decoder.inputs is 'point_coords: pionts': use points, labels, mask"),
        ("decoder.inputs.point_coords", [1], r"decoder.inputs is \[1\]: use a name or a number for each tensor"),
        ("decoder.inputs.point_labels", None, "decoder.inputs names no 'labels': say which tensor that is"),
        ("decoder.outputs.iou_predictions", None, "decoder.outputs names no 'scores'"),
        ("decoder.inputs.clicks", 1, "inputs names 'clicks', and decoder.onnx has image_embeddings, point_coords"),
        ("decoder.inputs.orig_im_size", None, "decoder.onnx takes 'orig_im_size' too: say in inputs what that is"),
        ("extra", 1, "extra is unknown: there are name, licence, image, points, encoder, decoder"),
    ],
)
def test_mistakes_are_named(key: str, value: object, said: str, cards) -> None:
    content = yaml.safe_load(cards("sam").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    with pytest.raises(ModelError, match=said) as caught:
        load(changed(cards("sam"), key, value), 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty, not a table of keys"),
        ("[1]", "is a list, not a table of keys"),
        ("name: [", "is no YAML in line 1"),
    ],
)
def test_files_that_are_no_cards_are_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=said):
        read_card(tmp_path / "card.yaml")
    with pytest.raises(ModelError, match=r"gone\.yaml cannot be read: No such file"):
        models.load(str(tmp_path / "gone.yaml"), 2)
    (tmp_path / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="is no JSON in line 1"):
        read_card(tmp_path / "card.json")


def test_what_computes_must_fit_the_files(cards) -> None:
    with pytest.raises(ModelError, match="is TorchScript, which torch computes: leave --runtime onnx out"):
        load(cards("efficient-jit"), 2, runtime="onnx")
    with pytest.raises(ModelError, match="is ONNX, which torch does not compute: leave --runtime torch out"):
        load(cards("sam"), 2, runtime="torch")
    with pytest.raises(ModelError, match="Runtime 'tensorrt' is unknown"):
        load(cards("sam"), 2, runtime="tensorrt")
    with pytest.raises(ModelError, match="computes on the CPU only: leave --device cuda out"):
        load(cards("sam"), 2, device="cuda")
    with pytest.raises(ModelError, match=r"has no weights: leave --weights out"):
        models.load(str(cards("sam")), 2, weights="x.pt")
    content = yaml.safe_load(cards("efficient-jit").read_text(encoding="utf-8"))
    content["decoder"]["method"] = "decode"
    wrong = cards("efficient-jit").with_name("wrong.json")
    wrong.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="has no method 'decode': say which with method"):
        load(wrong, 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("side: 256", "side: 100", r"image\.side is 100, and encoder\.onnx takes 256"),
        ("padding: -1", "axes: 4", r"points\.axes is 4, and decoder\.onnx takes 3"),
    ],
)
def test_sizes_must_be_those_of_the_files(old: str, new: str, said: str, cards) -> None:
    """Said when the model is loaded, and not once for each object."""
    text = cards("sam").read_text(encoding="utf-8")
    wrong = cards("sam").with_name("wrong.yaml")
    wrong.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ModelError, match=said):
        load(wrong, 2)
