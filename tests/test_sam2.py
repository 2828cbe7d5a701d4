"""SAM 2 and SAM 3 as models: prompts go in where they were meant, masks come back on the window's samples."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import promptile
from promptile import models
from promptile.engine.lattice import Tiling
from promptile.errors import ModelError
from promptile.models.fetching import fetch
from promptile.models.protocols import Batched, Embedding, Model, Promptable, Storable, View, WindowPrompt
from promptile.models.published import all_published
from promptile.models.sam2 import load
from promptile.models.sam2.variants import VARIANTS
from promptile.prompts import Prompts
from promptile.report import weights_here
from promptile.testing import ModelContract

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'promptile[hf]'")

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from promptile.models.sam2.frame import Frame
from promptile.models.sam2.layouts import PLAIN
from promptile.models.sam2.loading import bare
from promptile.models.sam2.model import Sam2
from sam2_small import SMALL, SMALL_3, WHOLE, laid_out, official, ours

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SHAPES = [(1024, 1024), (300, 500), (1700, 900), (64, 96)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def nothing_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PROMPTILE_WEIGHTS", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


class Echo:
    """A network that answers with the brightness of the first channel, and remembers what it was asked."""

    no_memory_embedding = torch.zeros(1, 1, 1)

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.asked: list[dict[str, Any]] = []
        self.images: list[Tensor] = []

    def get_image_features(self, images: Tensor, return_dict: bool) -> SimpleNamespace:
        assert return_dict
        self.images += list(images)
        sizes = [[self.cells >> i] * 2 for i in range(3)]
        maps = [functional.interpolate(images[:, :1], size, mode="area") for size in sizes]
        return SimpleNamespace(fpn_hidden_states=[each.flatten(2).permute(2, 0, 1) for each in maps])

    def __call__(self, image_embeddings: list[Tensor], multimask_output: bool, **asked: Tensor) -> SimpleNamespace:
        self.asked.append({**asked, "ambiguous": multimask_output})
        count = len(image_embeddings[0])
        scores = torch.tensor([0.4, 0.9, 0.1] if multimask_output else [0.7])
        masks = image_embeddings[0] * torch.arange(1.0, 1 + len(scores))[:, None, None]
        return SimpleNamespace(
            pred_masks=masks[:, None],
            iou_scores=scores.expand(count, 1, -1),
            object_score_logits=torch.full((count, 1, 1), 1.5),
        )


def echoing(name: str = "sam2.1-tiny") -> tuple[Sam2, Echo]:
    network: Any = Echo(VARIANTS[name].cells)
    return Sam2(VARIANTS[name], network, torch.device("cpu"), "none"), network


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    torch.save({"model": official()}, folder / "sam2.pt")
    save_file(laid_out(ours(three=True), WHOLE), folder / "sam3.safetensors")
    return {"sam2": folder / "sam2.pt", "sam3": folder / "sam3.safetensors"}


@pytest.fixture(scope="module")
def small(files: dict[str, Path]) -> Sam2:
    return Sam2.load(SMALL, files["sam2"], "cpu")


@pytest.fixture(scope="module")
def small_3(files: dict[str, Path]) -> Sam2:
    return Sam2.load(SMALL_3, files["sam3"], "cpu")


@pytest.fixture(scope="module")
def seen(small: Sam2) -> Embedding:
    return small.embed([view((200, 300))])[0]


class TestSam2(ModelContract):
    finds_the_obvious = False

    @pytest.fixture(autouse=True)
    def keep(self, small: Sam2) -> None:
        self.kept = small

    def model(self) -> Model:
        return self.kept


class TestSam3(ModelContract):
    finds_the_obvious = False

    @pytest.fixture(autouse=True)
    def keep(self, small_3: Sam2) -> None:
        self.kept = small_3

    def model(self) -> Model:
        return self.kept


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


# Places


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam3-tracker"])
def test_masks_come_back_on_the_window_s_own_samples(name: str, shape: tuple[int, int]) -> None:
    """What is bright in the window is the object in the answer, to a fraction of a cell."""
    model, _ = echoing(name)
    bright = disc(shape, (shape[0] * 0.4, shape[1] * 0.6), min(shape) * 0.25)
    shown = np.where(bright, 1.0, 0.0)[None].astype(np.float32).repeat(3, 0)
    (embedding,) = model.embed([View(shown, np.ones(shape, bool), (1.0, 1.0))])
    found = model.predict(embedding, click((0, 0), (5, 5))).logits[0] > 0
    cell = max(max(shape) / VARIANTS[name].cells, 1)
    assert found.shape == shape
    middle = np.argwhere(found).mean(axis=0)
    np.testing.assert_allclose(middle, np.argwhere(bright).mean(axis=0), atol=0.05 * cell)
    assert abs(found.sum() / bright.sum() - 1) < 0.05


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam3-tracker"])
def test_points_land_where_the_window_s_samples_land(name: str, shape: tuple[int, int]) -> None:
    """The one bright sample of a window is around the model's coordinate of a point on it."""
    model, network = echoing(name)
    place = (shape[0] // 3, shape[1] // 2 + 7)
    samples = np.zeros((3, *shape), np.float32)
    samples[:, place[0], place[1]] = 1
    (embedding,) = model.embed([View(samples, np.ones(shape, bool), (1.0, 1.0))])
    model.predict(embedding, click(place))
    (asked,) = network.asked
    light = (network.images[0][0] - network.images[0][0].min()).numpy()
    light[light < 1e-3] = 0
    y, x = np.mgrid[: len(light), : len(light)]
    centre = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
    np.testing.assert_allclose(asked["input_points"][0, 0, 0], centre, atol=0.1)
    assert asked["input_labels"].tolist() == [[[1]]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("side", "cells"), [(1024, 256), (1008, 288)])
def test_masks_come_back_and_go_in_without_a_shift(shape: tuple[int, int], side: int, cells: int) -> None:
    """Logits that rise by one per sample are right at each cell, and those that rise per cell at each sample."""
    frame = Frame(shape, side, cells)
    centres = [(np.arange(cells) + 0.5) * n / cells - 0.5 for n in shape]
    for axis in (0, 1):
        rising = torch.tensor(np.broadcast_to(np.expand_dims(np.arange(shape[axis]), 1 - axis), shape) / 64.0).float()
        inner = slice(6, -6)
        given = frame.mask(rising)[0].numpy() * 64
        wanted = np.broadcast_to(np.expand_dims(centres[axis], 1 - axis), (cells, cells))
        off = (given - wanted)[inner, inner]
        assert abs(off).max() < 0.1  # what is made smaller is smoothed, with weights that are not quite even
        assert abs(off.mean()) < 0.005
        found = frame.back(torch.tensor(wanted.copy()).float()[None, None])[0, 0]
        edge = [slice(max(6, 2 * n // cells), -max(6, 2 * n // cells)) for n in shape]
        np.testing.assert_allclose(found[tuple(edge)], rising[tuple(edge)] * 64, atol=0.02)


@pytest.mark.parametrize("shape", [(300, 500), (1700, 900), (64, 96)])
def test_images_are_stretched_as_pillow_does(shape: tuple[int, int]) -> None:
    model, network = echoing()
    samples = np.random.default_rng(1).random((3, *shape), dtype=np.float32)
    model.embed([View(samples, np.ones(shape, bool), (1.0, 1.0))])
    for channel in range(3):
        stretched = Image.fromarray(samples[channel]).resize((1024, 1024), Image.Resampling.BILINEAR)
        wanted = (np.asarray(stretched) - MEAN[channel]) / DEVIATION[channel]
        np.testing.assert_allclose(network.images[0][channel], wanted, atol=1e-4)


def test_colours_are_normalised_and_never_outside_of_what_can_be_seen() -> None:
    samples = np.broadcast_to(np.array([-0.5, 0.5, 7.0], np.float32)[:, None, None], (3, 90, 70))
    seen = np.array([0, 0.5, 1])
    for name, wanted in (("sam2-tiny", (seen - MEAN) / DEVIATION), ("sam3-tracker", (seen - 0.5) / 0.5)):
        model, network = echoing(name)
        model.embed([View(samples, np.ones((90, 70), bool), (1.0, 1.0))])
        np.testing.assert_allclose(network.images[0][:, 5, 5], wanted, rtol=1e-5)


def test_grey_is_shown_in_all_channels_and_two_channels_are_refused() -> None:
    model, network = echoing()
    model.embed([view((64, 64), 1)])
    grey = network.images[0].numpy() * DEVIATION[:, None, None] + MEAN[:, None, None]
    np.testing.assert_allclose(grey[0], grey[2], atol=1e-5)
    with pytest.raises(ModelError, match="takes 1 or 3 channels, not 2"):
        model.embed([view((64, 64), 2)])


# Answers


def test_one_point_has_three_answers_the_best_first_and_all_else_has_one() -> None:
    model, network = echoing()
    (embedding,) = model.embed([view((64, 96))])
    three = model.predict(embedding, click((3, 4)))
    assert three.logits.shape == (3, 64, 96)
    present = 1 / (1 + np.exp(-1.5))
    np.testing.assert_allclose(three.scores, present * np.array([0.9, 0.4, 0.1]), rtol=1e-6)
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
    assert [asked["ambiguous"] for asked in network.asked] == [True, *[False] * 5]


def test_where_there_is_no_object_the_score_is_low(small: Sam2, seen: Embedding) -> None:
    before = small.predict(seen, click((20, 30))).scores
    bias = small._network.mask_decoder.pred_obj_score_head.proj_out.bias
    kept = bias.clone()
    try:
        bias.fill_(-1000)
        assert small.predict(seen, click((20, 30))).scores.max() < 1e-6 < before.min()
    finally:
        bias.copy_(kept)


def test_prompts_of_one_form_are_asked_together_and_answered_in_order(small: Sam2, seen: Embedding) -> None:
    box, mask = np.array([[10.0, 20], [100, 150]]), np.where(disc((200, 300), (90, 80), 40), 6, -6).astype(np.float32)
    prompts = [
        click((20, 30)),
        click(box=box),
        click((90, 99)),
        click((1, 2), (3, 4), labels=[True, False]),
        click(box=box + 20),
        click((30, 40), mask=mask),
        click(),
        click((70, 90), mask=-mask),
        click(mask=mask),
    ]
    together = small.predict_batch(seen, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = small.predict(seen, prompt)
        np.testing.assert_allclose(answer.logits, alone.logits, atol=1e-4)
        np.testing.assert_allclose(answer.scores, alone.scores, atol=1e-5)
    assert abs(together[5].logits - together[7].logits).max() > 0.01  # each was told its own mask
    model, network = echoing()
    (embedding,) = model.embed([view((200, 300))])
    model.predict_batch(embedding, prompts)
    firsts = [next(iter(value for value in asked.values() if isinstance(value, Tensor))) for asked in network.asked]
    assert [len(first) for first in firsts] == [2, 2, 1, 2, 1]


def test_a_box_and_points_are_told_together() -> None:
    model, network = echoing()
    (embedding,) = model.embed([view((512, 512))])
    model.predict(embedding, click((10, 20), (30, 40), labels=[True, False], box=np.array([[-9.0, 4.5], [99.5, 600]])))
    (asked,) = network.asked
    assert asked["input_labels"].tolist() == [[[1, 0]]]
    np.testing.assert_allclose(asked["input_points"][0, 0], [[40.5, 20.5], [80.5, 60.5]])
    np.testing.assert_allclose(asked["input_boxes"][0, 0], [9.5, -0.5, 1023.5, 199.5])


def test_nothing_asked_is_nothing_found(small: Sam2, seen: Embedding) -> None:
    answer = small.predict(seen, click())
    assert answer.logits.shape == (1, 200, 300)
    assert (answer.logits < 0).all()
    assert answer.scores.tolist() == [0]


# Embeddings


@pytest.mark.parametrize("kind", ["small", "small_3"])
def test_an_embedding_from_the_disk_answers_as_well(kind: str, request: pytest.FixtureRequest) -> None:
    model: Sam2 = request.getfixturevalue(kind)
    (made,) = model.embed([view((120, 90))])
    packed = model.pack(made)
    assert {array.dtype for name, array in packed.items() if name != "shape"} == {np.dtype(np.float16)}
    again = model.unpack(packed)
    assert again.nbytes == made.nbytes == 4 * (32 * 16 + 64 * 4 + 256) * (model._variant.tokens**2)
    wanted, found = (model.predict(each, click((50, 60))).logits for each in (made, again))
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_a_batch_of_windows_is_embedded_as_one_by_one(small: Sam2, monkeypatch: pytest.MonkeyPatch) -> None:
    views = [view((40, 50)), view((200, 300)), view((90, 33))]
    alone = small.embed(views)
    monkeypatch.setattr(small._seeing, "size", 2)
    for one, other in zip(alone, small.embed(views), strict=True):
        for mine, theirs in zip(one.content.maps, other.content.maps, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-4)


@pytest.mark.slow
def test_the_real_tiny_at_its_real_size_answers_as_its_forward_does() -> None:
    """Weights are random; what was kept of the window gives what the network gives from its pixels."""
    torch.manual_seed(0)
    network = bare(VARIANTS["sam2.1-tiny"]).eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        value.normal_(std=1 if "embed" in name else 0.05)
        value += name.endswith("weight") and value.ndim == 1
    model = Sam2(VARIANTS["sam2.1-tiny"], network, torch.device("cpu"), "none")
    shown = view((1024, 1024))
    (embedding,) = model.embed([shown])
    assert [tuple(each.shape) for each in embedding.content.maps] == [
        (1, 32, 256, 256),
        (1, 64, 128, 128),
        (1, 256, 64, 64),
    ]
    found = model.predict(embedding, click((400, 700)))
    colours = [torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (MEAN, DEVIATION)]
    pixels = (torch.tensor(shown.samples) - colours[0]) / colours[1]
    with torch.inference_mode():
        wanted = network(pixel_values=pixels[None], input_points=torch.tensor([[[[700.0, 400]]]]))
    scores = (wanted.iou_scores * wanted.object_score_logits.sigmoid())[0, 0].numpy()
    order = np.argsort(-scores, kind="stable")
    np.testing.assert_allclose(found.scores, scores[order], atol=1e-5)
    masks = functional.interpolate(wanted.pred_masks[0], (1024, 1024), mode="bilinear")[0].numpy()[order]
    np.testing.assert_allclose(found.logits, masks, atol=1e-4 * max(1, np.abs(masks).max()))


# As models


def test_what_it_can_do_is_on_its_card(small: Sam2) -> None:
    assert isinstance(small, Promptable)
    assert isinstance(small, Batched)
    assert isinstance(small, Storable)
    card = small.card
    assert (card.ndim, card.channels, card.window, card.device) == (2, 3, (256, 256), "cpu")
    assert (card.family, card.licence) == ("SAM 2.1", "Apache-2.0")


def test_workers_load_the_weights_themselves(small: Sam2, seen: Embedding) -> None:
    sent = pickle.dumps(small)
    assert len(sent) < 10_000
    again = pickle.loads(sent)
    assert again.card == small.card
    np.testing.assert_array_equal(again.predict(seen, click((5, 6))).logits, small.predict(seen, click((5, 6))).logits)
    with pytest.raises(ModelError, match="cannot be sent to a worker"):
        pickle.dumps(echoing()[0])


def test_threads_may_look_and_ask_at_the_same_time(small: Sam2) -> None:
    def work(i: int) -> np.ndarray:
        (embedding,) = small.embed([view((60 + i, 80))])
        return small.predict(embedding, click((20.0 + i, 30))).logits

    alone = [work(i) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(work, range(6)), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_run_over_several_tiles(small: Sam2, tmp_path: Path) -> None:
    image = promptile.open(view((300, 260)).samples, channel_axis=0)
    asked = Prompts.of(boxes=[[[20, 30], [90, 120]]])
    run = promptile.segment(
        image, asked, model=small, tiling=Tiling(size=256), window=(0, 1), out=tmp_path / "one.run.zarr"
    )
    assert run.finished == 1
    assert run.spec["model"] == {"name": "sam2.1-tiny", "digest": small.card.digest}


def test_every_variant_is_installed_by_its_name_and_its_weights_are_known() -> None:
    assert set(VARIANTS) <= set(models.names())
    assert set(VARIANTS) <= set(all_published())
    assert len({each.file for each in all_published().values()}) == len(all_published())


def test_listing_models_loads_neither_torch_nor_transformers() -> None:
    script = (
        "import sys; from promptile import models; from promptile.models.published import all_published\n"
        "models.names(), all_published(); print({'torch', 'transformers', 'safetensors'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"


# Weights


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The small model under the name of the tiny one."""
    monkeypatch.setitem(VARIANTS, SMALL.name, SMALL)
    monkeypatch.setitem(VARIANTS, SMALL_3.name, replace(SMALL_3, licence="SAM License"))
    return SMALL.name


def test_weights_are_found_by_name_in_a_folder_and_in_a_snapshot(
    tiny: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "named/sam2.1_hiera_tiny.pt").symlink_to(files["sam2"])
    snapshot = tmp_path / "hf/hub/models--facebook--sam2.1-hiera-tiny/snapshots/0a1b"
    snapshot.mkdir(parents=True)
    given = load(tiny, 2, weights=tmp_path / "named", device="cpu")
    assert weights_here(tiny) is False
    save_file(laid_out(ours(), PLAIN), snapshot / "model.safetensors")
    assert weights_here(tiny) is True
    cached = load(tiny, 2, device="cpu")
    snapshot.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("PROMPTILE_WEIGHTS", str(tmp_path / "named"))
    named = models.load(tiny, 2)
    assert given.card.digest == named.card.digest != cached.card.digest
    with pytest.raises(ModelError, match=r"holds no weights: it needs model.safetensors or sam2.1_hiera_tiny.pt"):
        load(tiny, 2, weights=tmp_path)


def test_weights_that_are_nowhere_are_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        models.load("sam2.1-large", 2)
    said = str(caught.value)
    assert "\n" not in said
    for part in ("sam2.1_hiera_large.pt", str(tmp_path / "cache/weights"), "promptile models fetch sam2.1-large"):
        assert part in said


def test_the_licence_of_sam3_is_shown_and_accepted_once(tiny: str, files: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"under the licence 'SAM License' \(https://.*LICENSE\).*--accept-licence"):
        load("sam3-tracker", 2, weights=files["sam3"])
    wanted = VARIANTS["sam3-tracker"].published
    fetch(wanted, file=files["sam3"], accept=True)
    assert load("sam3-tracker", 2, device="cpu").card.licence == "SAM License"
    assert load("sam3-tracker", 2, weights=files["sam3"], device="cpu").card.family == "SAM 3"


def test_weights_of_another_model_are_recognised(tmp_path: Path) -> None:
    tensors = {key: value.clone() for key, value in bare(VARIANTS["sam2-small"]).state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        load("sam2.1-tiny", 2, weights=tmp_path / "model.safetensors")
    said = str(caught.value)
    assert "\n" not in said
    assert "they fit --model sam2-small or sam2.1-small" in said
    assert "keys are unknown (vision_encoder.backbone.blocks.12.attn.proj.bias, " in said


def test_weights_that_lack_a_key_are_refused(tmp_path: Path) -> None:
    tensors = official()
    del tensors["sam_mask_decoder.conv_s0.bias"], tensors["sam_prompt_encoder.point_embeddings.2.weight"]
    torch.save(tensors, tmp_path / "lacking.pt")
    with pytest.raises(ModelError, match=r"2 keys are missing \(.*conv_s0.bias.*get sam2.1_hiera_tiny.pt from https"):
        Sam2.load(SMALL, tmp_path / "lacking.pt", "cpu")


@pytest.mark.parametrize(("name", "content"), [("a.pt", b""), ("a.pt", b"<html>"), ("a.safetensors", b"\x00" * 99)])
def test_what_is_no_weights_file_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read: it"):
        Sam2.load(SMALL, tmp_path / name, "cpu")


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_the_extra_it_says_how_to_get_it(missing: str, files: dict[str, Path]) -> None:
    said = said_by_loading(files, f"sys.modules[{missing!r}] = None")
    assert said == f"Model 'sam2.1-tiny' needs {missing}: pip install 'promptile[hf]'\n"


def test_a_torchvision_that_does_not_fit_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    """As the one for CUDA beside torch for the CPU: then transformers cannot load any model."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    (tmp_path / "torchvision-9.9.dist-info").mkdir()
    (tmp_path / "torchvision-9.9.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 9.9\n"
    )
    said = said_by_loading(files, f"sys.path.insert(0, {str(tmp_path)!r})")
    assert said.startswith("Model 'sam2.1-tiny' cannot be loaded")
    assert "pip uninstall torchvision" in said


def said_by_loading(files: dict[str, Path], first: str) -> str:
    script = (
        f"import sys; {first}\n"
        "from promptile.models.sam2 import ModelError, load\n"
        f"try: load('sam2.1-tiny', 2, weights={str(files['sam2'])!r})\n"
        "except ModelError as error: print(error)"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
