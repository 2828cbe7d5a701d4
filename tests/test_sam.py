"""The SAM family as models: prompts go in where they were meant, masks come back on the window's samples."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import promptile
from promptile import models
from promptile.engine.lattice import Tiling
from promptile.errors import ModelError
from promptile.models.protocols import Batched, Embedding, Model, Promptable, Selective, Storable, View, WindowPrompt
from promptile.models.sam.variants import VARIANTS

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")

import torch
from torch import Tensor
from torch.nn import functional

from promptile.models.devices import device_of
from promptile.models.sam import mobile_sam
from promptile.models.sam.model import Sam
from promptile.models.sam.nets.network import Features, Questions
from promptile.prompts import Prompts
from promptile.testing import ModelContract
from sam_small import MADE, state, write

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SMALL, SMALL_HQ = (replace(MADE[name], side=256) for name in ("small-sam", "small-sam-hq"))
SHAPES = [(1024, 1024), (300, 500), (1700, 900), (700, 1024)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Echo:
    """A network that answers with the brightness of the first channel, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Questions] = []
        self.images: list[Tensor] = []

    def embed(self, images: Tensor) -> Features:
        self.images += list(images)
        return Features(functional.avg_pool2d(images[:, :1], 4))

    def prepare(self, features: Features) -> Features:
        return features

    def decode(
        self, features: Features, questions: Questions, *, ambiguous: bool, least: float | None = None
    ) -> tuple[Tensor, Tensor]:
        self.asked.append(questions)
        count = len(questions.labels)
        scores = torch.tensor([[0.3, 1.2, -0.1]] if ambiguous else [[0.7]]).expand(count, -1)
        logits = (
            features.image.expand(count, scores.shape[1], -1, -1) * torch.arange(1, 1 + scores.shape[1])[:, None, None]
        )
        return logits, scores


def echoing(name: str = "sam-b") -> tuple[Sam, Echo]:
    network: Any = Echo()
    return Sam(VARIANTS[name], network, torch.device("cpu"), "none"), network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {"sam": write(folder / "sam.pt", state(SMALL)), "sam-hq": write(folder / "sam-hq.pt", state(SMALL_HQ))}


@pytest.fixture(scope="module")
def small(weights: dict[str, Path]) -> Sam:
    return Sam.load(SMALL, weights["sam"], "cpu")


@pytest.fixture(scope="module")
def small_hq(weights: dict[str, Path]) -> Sam:
    return Sam.load(SMALL_HQ, weights["sam-hq"], "cpu")


class TestContract(ModelContract):
    """What all models must do; random weights find nothing."""

    finds_the_obvious = False

    @pytest.fixture(autouse=True)
    def chosen(self, small_hq: Sam) -> None:
        self.loaded = small_hq

    def model(self) -> Model:
        return self.loaded


@pytest.fixture(scope="module")
def seen(small: Sam) -> Embedding:
    return small.embed([view((200, 300))])[0]


def view(shape: tuple[int, int], channels: int = 3) -> View:
    y, x = np.mgrid[: shape[0], : shape[1]]
    samples = np.stack([np.sin(y / 9 + c) * np.cos(x / 13) / 2 + 0.5 for c in range(channels)]).astype(np.float32)
    return View(samples, np.ones(shape, bool), (1.0, 1.0))


def click(*points: tuple[float, float], labels: list[bool] | None = None, **more: Any) -> WindowPrompt:
    places = np.array(points, float).reshape(-1, 2)
    return WindowPrompt(places, np.ones(len(places), bool) if labels is None else np.array(labels), **more)


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - centre[0], x - centre[1]) < radius


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["sam-b", "efficient-sam-s"])
def test_masks_come_back_on_the_window_s_own_samples(name: str, shape: tuple[int, int]) -> None:
    """What is bright in the window is the object in the answer, to a fraction of a cell."""
    model, _ = echoing(name)
    centre, radius = (shape[0] * 0.4, shape[1] * 0.6), min(shape) * 0.25
    bright = disc(shape, centre, radius)
    shown = View(np.where(bright, 1.0, 0.0)[None].astype(np.float32).repeat(3, 0), np.ones(shape, bool), (1.0, 1.0))
    (embedding,) = model.embed([shown])
    found = model.predict(embedding, click((0, 0), (5, 5))).logits[0] > 0
    cell = 4 * max(shape) / 1024
    assert found.shape == shape
    middle = np.argwhere(found).mean(axis=0)
    np.testing.assert_allclose(middle, np.argwhere(bright).mean(axis=0), atol=0.05 * cell)
    assert abs(found.sum() / bright.sum() - 1) < 0.04


@pytest.mark.parametrize("shape", SHAPES)
def test_points_land_where_the_window_s_samples_land(shape: tuple[int, int]) -> None:
    """The one bright sample of a window is around the model's coordinate of a point on it."""
    model, network = echoing()
    place = (shape[0] // 3, shape[1] // 2 + 7)
    samples = np.zeros((3, *shape), np.float32)
    samples[:, place[0], place[1]] = 1
    (embedding,) = model.embed([View(samples, np.ones(shape, bool), (1.0, 1.0))])
    model.predict(embedding, click(place))
    (asked,) = network.asked
    light = network.images[0][0].numpy() * DEVIATION[0] + MEAN[0]
    light[light < 1e-3] = 0
    light[:, round(1024 * shape[1] / max(shape)) :] = 0  # there is nothing, which is no black
    light[round(1024 * shape[0] / max(shape)) :] = 0
    y, x = np.mgrid[:1024, :1024]
    centre = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
    np.testing.assert_allclose(asked.points[0, 0], centre, atol=0.05)
    assert asked.labels.tolist() == [[1]]


def test_colours_are_normalised_and_never_outside_of_what_can_be_seen() -> None:
    model, network = echoing()
    samples = np.broadcast_to(np.array([-0.5, 0.5, 7.0], np.float32)[:, None, None], (3, 1024, 1024))
    model.embed([View(samples, np.ones((1024, 1024), bool), (1.0, 1.0))])
    np.testing.assert_allclose(network.images[0][:, 5, 5], (np.array([0, 0.5, 1]) - MEAN) / DEVIATION, rtol=1e-5)


def test_grey_is_shown_in_all_channels_and_two_channels_are_refused() -> None:
    model, network = echoing()
    model.embed([view((64, 64), 1)])
    grey = network.images[0].numpy() * DEVIATION[:, None, None] + MEAN[:, None, None]
    np.testing.assert_allclose(grey[0, :1024], grey[2, :1024], atol=1e-5)
    with pytest.raises(ModelError, match="takes 1 or 3 channels, not 2"):
        model.embed([view((64, 64), 2)])


def test_one_point_has_three_answers_the_best_first_and_all_else_has_one() -> None:
    model, _ = echoing()
    (embedding,) = model.embed([view((64, 96))])
    three = model.predict(embedding, click((3, 4)))
    assert three.logits.shape == (3, 64, 96)
    np.testing.assert_allclose(three.scores, [1, 0.3, 0])  # guesses lie between 0 and 1
    np.testing.assert_allclose(three.logits[0], 2 * three.logits[1], rtol=1e-4, atol=1e-5)
    box, mask = np.array([[1.0, 2], [30, 40]]), np.ones((64, 96), np.float32)
    for prompt in (
        click((3, 4), (5, 6)),
        click(box=box),
        click((3, 4), box=box),
        click(mask=mask),
        click((3, 4), mask=mask),
    ):
        assert model.predict(embedding, prompt).logits.shape == (1, 64, 96)


def test_prompts_of_one_form_are_asked_together_and_answered_in_order(small: Sam, seen: Embedding) -> None:
    box = np.array([[10.0, 20], [100, 150]])
    prompts = [
        click((20, 30)),
        click(box=box),
        click((90, 99)),
        click((1, 2), (3, 4), labels=[True, False]),
        click(box=box),
    ]
    together = small.predict_batch(seen, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = small.predict(seen, prompt)
        np.testing.assert_allclose(answer.logits, alone.logits, atol=1e-4)
        np.testing.assert_allclose(answer.scores, alone.scores, atol=1e-5)
    model, network = echoing()
    (embedding,) = model.embed([view((64, 64))])
    model.predict_batch(embedding, prompts)
    assert [len(asked.labels) for asked in network.asked] == [2, 2, 1]


def test_masks_it_thinks_little_of_can_be_left_out(small_hq: Sam) -> None:
    (embedding,) = small_hq.embed([view((90, 110))])
    prompts = [click((20, 30)), click((70, 80)), click(box=np.array([[10.0, 20], [80, 90]])), click()]
    answers = small_hq.predict_batch(embedding, prompts)
    least = float(np.median(np.concatenate([answer.scores for answer in answers])))
    chosen = small_hq.predict_above(embedding, prompts, least)
    assert 0 < sum(len(answer.scores) for answer in chosen) < sum(len(answer.scores) for answer in answers)
    for some, answer in zip(chosen, answers, strict=True):
        np.testing.assert_array_equal(some.scores, answer.scores[answer.scores > least])
        np.testing.assert_allclose(some.logits, answer.logits[answer.scores > least], atol=1e-5)


def test_a_box_and_points_are_told_together() -> None:
    model, network = echoing()
    (embedding,) = model.embed([view((512, 512))])
    model.predict(embedding, click((10, 20), (30, 40), labels=[True, False], box=np.array([[-9.0, 4.5], [99.5, 600]])))
    (asked,) = network.asked
    assert asked.labels.tolist() == [[1, 0]]
    np.testing.assert_allclose(asked.points[0], [[40.5, 20.5], [80.5, 60.5]])
    np.testing.assert_allclose(asked.boxes[0], [[9.5, -0.5], [1023.5, 199.5]])


def test_a_given_mask_reaches_the_network_in_its_cells() -> None:
    model, network = echoing()
    (embedding,) = model.embed([view((1024, 512))])
    logits = np.where(disc((1024, 512), (200, 100), 60), 8, -8).astype(np.float32)
    model.predict(embedding, click(mask=logits))
    cells = network.asked[0].masks[0, 0].numpy()
    np.testing.assert_allclose(np.argwhere(cells > 0).mean(axis=0) * 4 + 1.5, (200, 100), atol=0.2)
    assert (cells[:, 128:] < 0).all()


def test_efficient_sam_takes_no_masks_and_six_points(tmp_path: Path) -> None:
    variant = replace(MADE["small-efficient-sam"], side=256)
    model = Sam.load(variant, write(tmp_path / "e.pt", state(variant), wrapped=True), "cpu")
    assert (model.card.abilities, model.card.max_points) == (frozenset({"points", "box"}), 6)
    (embedding,) = model.embed([view((100, 120))])
    points = [(5.0 * i, 7.0 * i) for i in range(1, 7)]
    mask = np.ones((100, 120), np.float32)
    plain, masked, many = (
        model.predict(embedding, p).logits for p in (click(*points), click(*points, mask=mask), click(*points, (90, 1)))
    )
    np.testing.assert_array_equal(plain, masked)
    np.testing.assert_array_equal(plain, many)


def test_nothing_asked_is_nothing_found(small: Sam, seen: Embedding) -> None:
    answer = small.predict(seen, click())
    assert answer.logits.shape == (1, 200, 300)
    assert (answer.logits < 0).all()
    assert answer.scores.tolist() == [0]


def test_what_it_can_do_is_on_its_card(small: Sam) -> None:
    assert isinstance(small, Promptable)
    assert isinstance(small, Batched)
    assert isinstance(small, Selective)
    assert isinstance(small, Storable)
    card = small.card
    assert (card.ndim, card.channels, card.window, card.device) == (2, 3, (256, 256), "cpu")
    assert card.abilities == {"points", "box", "mask"}
    assert card.licence == "Apache-2.0"


def test_other_weights_and_other_ways_to_answer_have_other_digests(weights: dict[str, Path], tmp_path: Path) -> None:
    both = [Sam.load(SMALL_HQ, weights["sam-hq"], "cpu", hq_token_only=only) for only in (False, True)]
    changed = state(SMALL_HQ) | {"mask_decoder.hf_token.weight": torch.ones(1, 256)}
    other = Sam.load(SMALL_HQ, write(tmp_path / "other.pt", changed), "cpu")
    assert len({model.card.digest for model in [*both, other]}) == 3
    (embedding,) = both[0].embed([view((90, 90))])
    three, one = (model.predict(embedding, click((40, 50))) for model in both)
    assert (len(three.logits), len(one.logits)) == (3, 1)
    np.testing.assert_allclose(one.scores[0], three.scores[0])


def test_an_embedding_from_the_disk_answers_as_well(small: Sam, seen: Embedding) -> None:
    packed = small.pack(seen)
    assert {array.dtype for name, array in packed.items() if name != "shape"} == {np.dtype(np.float16)}
    again = small.unpack(packed)
    assert again.nbytes == seen.nbytes == (256 + 3 * 128) * 16 * 16 * 4
    wanted, found = (small.predict(each, click((50, 60))).logits for each in (seen, again))
    np.testing.assert_allclose(found, wanted, atol=0.02)
    repeated = small.unpack(small.pack(again))
    np.testing.assert_array_equal(small.predict(repeated, click((50, 60))).logits, found)


def test_the_finer_features_are_kept_too(small_hq: Sam) -> None:
    model = small_hq
    (embedding,) = model.embed([view((64, 64))])
    again = model.unpack(model.pack(embedding))
    np.testing.assert_allclose(
        model.predict(again, click((9, 9))).logits, model.predict(embedding, click((9, 9))).logits, atol=0.05
    )


def test_a_batch_of_windows_is_embedded_as_one_by_one(small: Sam, seen: Embedding) -> None:
    both = small.embed([view((40, 50)), view((200, 300))])
    np.testing.assert_allclose(
        small.predict(both[1], click((9, 9))).logits, small.predict(seen, click((9, 9))).logits, atol=1e-4
    )
    assert small.predict(both[0], click((9, 9))).logits.shape == (3, 40, 50)


def test_workers_load_the_weights_themselves(small: Sam, seen: Embedding) -> None:
    sent = pickle.dumps(small)
    assert len(sent) < 10_000
    again = pickle.loads(sent)
    assert again.card == small.card
    np.testing.assert_array_equal(again.predict(seen, click((5, 6))).logits, small.predict(seen, click((5, 6))).logits)


def test_threads_may_ask_at_the_same_time(small: Sam, seen: Embedding) -> None:
    prompts = [click((20.0 + i, 30)) for i in range(4)]
    alone = [small.predict(seen, prompt).logits for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda prompt: small.predict(seen, prompt).logits, prompts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_run_over_several_tiles(small: Sam, tmp_path: Path) -> None:
    image = promptile.open(view((300, 260)).samples, channel_axis=0)
    asked = Prompts.of(boxes=[[[20, 30], [90, 120]]])
    run = promptile.segment(
        image, asked, model=small, tiling=Tiling(size=256), window=(0, 1), out=tmp_path / "one.run.zarr"
    )
    assert run.finished == 1
    assert run.spec["model"] == {"name": "sam-b", "digest": small.card.digest}


def test_every_variant_is_installed_by_its_name() -> None:
    assert set(VARIANTS) <= set(models.names())


def test_listing_models_loads_no_torch() -> None:
    script = (
        "import sys; from promptile import models; models.names(); print({'torch', 'safetensors'} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_without_torch_it_says_how_to_get_it(missing: str) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from promptile import models\n"
        "try: models.load('mobile-sam', 2)\n"
        "except models.registry.ModelError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == f"Model 'mobile-sam' needs {missing}: pip install 'promptile[torch]'\n"


def test_weights_that_are_nowhere_are_named_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("PROMPTILE_WEIGHTS", raising=False)
    with pytest.raises(ModelError) as caught:
        models.load("mobile-sam", 2)
    said = str(caught.value)
    assert "\n" not in said
    for part in ("mobile_sam.pt", str(tmp_path / "weights"), "https://", "PROMPTILE_WEIGHTS"):
        assert part in said


def test_weights_by_name_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / "mobile_sam.pt", state(VARIANTS["mobile-sam"]))
    monkeypatch.setenv("PROMPTILE_WEIGHTS", str(tmp_path))
    model = models.load("mobile-sam", 2)
    assert model.card.name == "mobile-sam"


def test_what_hugging_face_s_tools_have_downloaded_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "models--dhkim2810--MobileSAM/snapshots/1/mobile_sam.pt"
    (tmp_path / "hub" / name).parent.mkdir(parents=True)
    write(tmp_path / "hub" / name, state(VARIANTS["mobile-sam"]))
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert models.load("mobile-sam", 2).card.name == "mobile-sam"


def test_a_finer_mask_is_only_asked_of_models_that_have_one() -> None:
    with pytest.raises(ModelError, match="hq_token_only is for SAM-HQ and light-hq-sam"):
        mobile_sam(2, hq_token_only=True)


def test_weights_of_another_model_are_recognised(tmp_path: Path) -> None:
    path = write(tmp_path / "sam_vit_b_01ec64.pth", state(VARIANTS["mobile-sam"]))
    with pytest.raises(ModelError) as caught:
        Sam.load(VARIANTS["sam-b"], path, "cpu")
    said = str(caught.value)
    assert "--model mobile-sam" in said
    assert "171 keys are missing (image_encoder.pos_embed, " in said
    assert "1 key is of another shape (image_encoder.neck.0.weight is 256x320x1x1 and not 256x768x1x1)" in said
    assert "\n" not in said


def test_weights_that_lack_a_key_are_refused(tmp_path: Path) -> None:
    tensors = state(SMALL)
    del tensors["prompt_encoder.point_embeddings.2.weight"]
    with pytest.raises(ModelError, match=r"1 key is missing \(prompt_encoder.point_embeddings.2.weight\)"):
        Sam.load(SMALL, write(tmp_path / "lacking.pt", tensors), "cpu")


@pytest.mark.parametrize("wish", ["tpu", "cuda:x", "gpu"])
def test_unknown_devices_are_refused(wish: str) -> None:
    with pytest.raises(ModelError, match="use auto, cpu, cuda, cuda:1 or mps"):
        device_of(wish)


def test_devices_that_are_not_here_are_refused() -> None:
    assert device_of("cpu").type == "cpu"
    assert device_of().type in {"cpu", "cuda", "mps"}
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="use auto or cpu"):
            device_of("cuda")


def test_a_model_in_memory_only_cannot_be_sent() -> None:
    model, _ = echoing()
    with pytest.raises(ModelError, match="cannot be sent to a worker"):
        pickle.dumps(model)
