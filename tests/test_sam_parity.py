"""Our networks beside those of their authors: the same keys, the same numbers."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")

import torch
from safetensors.torch import save_file

from promptile.models.sam.layouts import OFFICIAL, layout_of
from promptile.models.sam.loading import load_network
from promptile.models.sam.nets.network import Features, Network, Questions
from promptile.models.sam.variants import VARIANTS
from sam_cases import Asked, picture, questions
from sam_small import GOLDEN, KEYS, MADE, bare, hugging_face, state, write

STRIDE = 16
CLOSE = 1e-4
"""Of logits with unit deviation, or smaller."""
EQUAL = 0.9999
"""Share of pixels on the same side of the threshold."""

PARAMETERS = {
    "sam-b": 93_735_472,
    "sam-l": 312_342_832,
    "sam-h": 641_090_608,
    "sam-hq-b": 94_806_576,
    "sam-hq-l": 313_676_080,
    "sam-hq-h": 642_686_000,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {
        name: write(folder / f"{name}.pt", state(variant), wrapped=variant.style == "efficient")
        for name, variant in MADE.items()
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_keys_and_shapes_are_those_of_the_authors(name: str) -> None:
    published = KEYS[name]
    network, layout = bare(VARIANTS[name]), layout_of(published)
    ours = {layout.key(k): list(v.shape) for k, v in network.state_dict().items() if not layout.lacks(k)}
    used = {key: published[key] for key in layout.used(published)}
    if VARIANTS[name].style == "efficient":
        assert ours.pop("image_encoder.pos_embed")[1:3] == [64, 64]
        assert used.pop("image_encoder.pos_embed")[1] == 14 * 14 + 1
    assert ours == used


@pytest.mark.parametrize("name", VARIANTS)
def test_only_the_classifier_of_tiny_vit_is_left_out(name: str) -> None:
    left = set(KEYS[name]) - layout_of(KEYS[name]).used(KEYS[name])
    classifier = {f"image_encoder.{part}.{kind}" for part in ("norm_head", "head") for kind in ("weight", "bias")}
    assert left == (classifier if VARIANTS[name].encoder.kind == "tiny" else set())


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_number_of_parameters_is_the_published_one(name: str) -> None:
    assert sum(parameter.numel() for parameter in bare(VARIANTS[name]).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", MADE)
def test_embeddings_and_answers_are_those_of_the_authors(name: str, files: dict[str, Path]) -> None:
    variant = MADE[name]
    network = load_network(variant, files[name])
    features = network.embed(torch.tensor(picture(variant.side)))
    seen = features.image[0, ::STRIDE, ::4, ::4].numpy()
    np.testing.assert_allclose(seen, GOLDEN[f"{name}/embedding"], atol=CLOSE)
    for label, asked, ambiguous in forms(name):
        compare(label, *ask(network, features, asked, ambiguous=ambiguous))
    if variant.quality:
        network.mask_decoder._alone = True  # as hq_token_only, without looking at the picture once more
        for label, asked, ambiguous in forms(name):
            compare(f"{label}/only", *ask(network, features, asked, ambiguous=ambiguous))


def forms(name: str) -> Iterator[tuple[str, Asked, bool]]:
    """The kinds of questions that golden numbers are there for; of full-size models only the two that differ most."""
    for form, asked in questions(MADE[name].side).items():
        for kind, ambiguous in (("single", False), ("multi", True)):
            full = name in VARIANTS and (form, kind) not in {("point", "multi"), ("box+point", "single")}
            if f"{name}/{form}/{kind}/logits" in GOLDEN and not full:
                yield f"{name}/{form}/{kind}", asked, ambiguous


def ask(network: Network, features: Features, asked: Asked, *, ambiguous: bool) -> tuple[np.ndarray, np.ndarray]:
    boxes = None if asked.boxes is None else torch.tensor(asked.boxes).reshape(-1, 2, 2)
    masks = None if asked.masks is None else torch.tensor(asked.masks)
    told = Questions(torch.tensor(asked.points), torch.tensor(asked.labels), boxes, masks)
    logits, iou = network.decode(features, told, ambiguous=ambiguous)
    return logits.numpy(), iou.numpy()


def compare(label: str, logits: np.ndarray, iou: np.ndarray) -> None:
    """Of SAM-HQ the authors give the best of several masks alone; ours adds the finer mask to that one."""
    wanted = GOLDEN[f"{label}/logits"]
    if wanted.shape[1] < logits.shape[1]:
        best = iou.argmax(axis=1)[:, None]
        logits = np.take_along_axis(logits, best[..., None, None], axis=1)
    iou = iou if GOLDEN[f"{label}/iou"].shape == iou.shape else iou.max(axis=1, keepdims=True)
    close = CLOSE * min(1, wanted.std())
    np.testing.assert_allclose(logits[..., ::STRIDE, ::STRIDE], wanted, atol=close, rtol=0, err_msg=label)
    np.testing.assert_allclose(iou, GOLDEN[f"{label}/iou"], atol=CLOSE, rtol=0, err_msg=label)
    if f"{label}/signs" in GOLDEN:
        first = logits[0].ravel() > 0
        same = first == np.unpackbits(GOLDEN[f"{label}/signs"], count=first.size).astype(bool)
        assert same.mean() >= EQUAL, label


def test_of_several_masks_only_the_best_is_drawn_finer(files: dict[str, Path]) -> None:
    network = load_network(MADE["small-sam-hq"], files["small-sam-hq"])
    features = network.embed(torch.tensor(picture(512)))
    asked = questions(512)["point"]
    three, iou = ask(network, features, asked, ambiguous=True)
    network.mask_decoder._alone = True
    finer, best = ask(network, features, asked, ambiguous=True)
    assert three.shape[1] == 3
    assert finer.shape[1] == 1
    np.testing.assert_array_equal(best[:, 0], iou.max(axis=1))


def test_many_prompts_are_answered_as_one_by_one(files: dict[str, Path]) -> None:
    network = load_network(MADE["small-sam"], files["small-sam"])
    features = network.embed(torch.tensor(picture(512)))
    asked = questions(512)["point+mask"]
    together, _ = ask(network, features, asked, ambiguous=False)
    second = Asked(asked.points[1:], asked.labels[1:], masks=asked.masks[1:])
    np.testing.assert_allclose(ask(network, features, second, ambiguous=False)[0], together[1:], atol=1e-5)


@pytest.mark.parametrize("name", ["small-sam", "small-sam-hq"])
def test_files_of_transformers_hold_the_same_network(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    variant = MADE[name]
    save_file(hugging_face(variant), tmp_path / "model.safetensors")
    official = load_network(variant, files[name]).state_dict()
    for key, value in load_network(variant, tmp_path / "model.safetensors").state_dict().items():
        assert torch.equal(value, official[key]), key


def test_files_of_transformers_may_hold_the_frequencies_once(tmp_path: Path) -> None:
    tensors = hugging_face(MADE["small-sam"])
    del tensors["prompt_encoder.shared_embedding.positional_embedding"]
    save_file(tensors, tmp_path / "model.safetensors")
    load_network(MADE["small-sam"], tmp_path / "model.safetensors")


def test_files_with_a_classifier_and_indices_beside_the_model_load(tmp_path: Path) -> None:
    tensors = state(MADE["mobile-sam"]) | {
        "image_encoder.head.weight": torch.zeros(1000, 320),
        "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.zeros(49, 49, dtype=torch.int64),
        "pixel_mean": torch.zeros(3, 1, 1),
    }
    assert set(OFFICIAL.used(tensors)) == set(state(MADE["mobile-sam"]))
    load_network(MADE["mobile-sam"], write(tmp_path / "mobile_sam.pt", tensors))


def test_a_zipped_file_loads(files: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "efficient.pt.zip", "w") as archive:
        archive.writestr("weights/efficient.pt", files["small-efficient-sam"].read_bytes())
    load_network(MADE["small-efficient-sam"], tmp_path / "efficient.pt.zip")


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    halved = {
        key: value.half() if value.is_floating_point() else value for key, value in state(MADE["small-sam"]).items()
    }
    network = load_network(MADE["small-sam"], write(tmp_path / "half.pt", halved))
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_weights_are_not_trained_by_accident(files: dict[str, Path]) -> None:
    network = load_network(MADE["small-sam"], files["small-sam"])
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
