"""SAM 2 and SAM 3 beside their authors' code and beside transformers: the same keys, the same numbers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'promptile[hf]'")

import torch
from safetensors.torch import save_file
from transformers import Sam2Model, Sam2VideoConfig, Sam2VideoModel, Sam3TrackerModel, Sam3VideoConfig, Sam3VideoModel

from promptile.models.protocols import View, WindowPrompt
from promptile.models.sam2.layouts import OFFICIAL, PLAIN, layout_of, whole
from promptile.models.sam2.loading import bare, load_network
from promptile.models.sam2.model import Sam2
from promptile.models.sam2.variants import VARIANTS, Variant
from sam2_small import GOLDEN, GOLDEN_3, KEYS, SMALL, SMALL_3, WHOLE, laid_out, official, ours
from sam_cases import Asked, picture, questions

STRIDE, STRIDE_3 = 8, 12
CLOSE = 1e-4
"""Of logits with unit deviation, or smaller."""
EQUAL = 0.9999
"""Share of pixels on the same side of the threshold."""

PARAMETERS = {"tiny": 31_440_721, "small": 38_538_577, "base-plus": 73_328_401, "large": 216_924_865}
"""Of the part that looks at images."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the authors publish it."""
    path = tmp_path_factory.mktemp("weights") / "sam2.1_hiera_small.pt"
    torch.save({"model": official()}, path)
    return path


@pytest.fixture(scope="module")
def network(file: Path) -> Sam2Model:
    return load_network(SMALL, file)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name in KEYS])
def test_keys_and_shapes_are_those_of_the_authors(name: str) -> None:
    points = {f"sam_prompt_encoder.point_embeddings.{i}.weight": [1, 256] for i in range(4)}
    network = bare(VARIANTS[name])
    needed = {OFFICIAL.key(key): list(value.shape) for key, value in network.state_dict().items()}
    assert needed.pop("sam_prompt_encoder.point_embeddings.weight") == [4, 256]
    assert layout_of(KEYS[name]) is OFFICIAL
    assert needed | points == {key: KEYS[name][key] for key in OFFICIAL.used(KEYS[name])}
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name.partition("-")[2]]


def test_only_what_serves_videos_is_left_out() -> None:
    left = {key.split(".")[0] for key in KEYS["sam2.1-tiny"]} - {"image_encoder", "sam_mask_decoder"}
    left -= {"sam_prompt_encoder", "no_mem_embed"}
    assert {key.split(".")[0] for key in set(KEYS["sam2.1-tiny"]) - OFFICIAL.used(KEYS["sam2.1-tiny"])} == left


def test_maps_and_answers_are_those_of_the_authors(file: Path) -> None:
    model = Sam2.load(SMALL, file, "cpu")
    maps = model._look(torch.tensor(picture(SMALL.side)))
    for i, each in enumerate(maps):
        np.testing.assert_allclose(each[0, ::STRIDE, ::4, ::4], GOLDEN[f"map{i}"], atol=CLOSE, err_msg=f"map {i}")
    for form, asked in questions(SMALL.side).items():
        for kind, ambiguous in (("single", False), ("multi", True)):
            compare(GOLDEN, f"{form}/{kind}", *ask(model._network, maps, asked, ambiguous=ambiguous), stride=STRIDE)


def test_those_of_sam3_too(sam3_files: dict[str, Path]) -> None:
    """Of an image that its encoder cuts into four windows."""
    variant = replace(SMALL_3, side=672)
    model = Sam2.load(variant, sam3_files["whole"], "cpu")
    maps = model._look(torch.tensor(picture(672)))
    for i, each in enumerate(maps):
        found = each[0, ::8, ::STRIDE_3, ::STRIDE_3]
        np.testing.assert_allclose(found, GOLDEN_3[f"map{i}"], atol=CLOSE / 4, err_msg=f"map {i}")
    for form in ("point", "points", "box", "box+point"):
        for kind, ambiguous in (("single", False), ("multi", True)):
            found = ask(model._network, maps, questions(672)[form], ambiguous=ambiguous)
            compare(GOLDEN_3, f"{form}/{kind}", *found, stride=STRIDE_3)


def ask(network: Sam2Model, maps: list[torch.Tensor], asked: Asked, *, ambiguous: bool) -> tuple[np.ndarray, ...]:
    told = {"input_points": torch.tensor(asked.points)[:, None], "input_labels": torch.tensor(asked.labels)[:, None]}
    told = told if asked.points.shape[1] else {}
    if asked.boxes is not None:
        told["input_boxes"] = torch.tensor(asked.boxes)[:, None]
    if asked.masks is not None:
        told["input_masks"] = torch.tensor(asked.masks)
    each = [one.expand(2, -1, -1, -1) for one in maps]
    found = network(image_embeddings=each, multimask_output=ambiguous, **told)
    return tuple(out[:, 0].numpy() for out in (found.pred_masks, found.iou_scores, found.object_score_logits))


def compare(
    golden: Mapping[str, Any], label: str, logits: np.ndarray, iou: np.ndarray, present: np.ndarray, *, stride: int
) -> None:
    wanted = golden[f"{label}/logits"]
    close = CLOSE * min(1, wanted.std())
    np.testing.assert_allclose(logits[..., ::stride, ::stride], wanted, atol=close, rtol=0, err_msg=label)
    np.testing.assert_allclose(iou, golden[f"{label}/iou"], atol=CLOSE, rtol=0, err_msg=label)
    np.testing.assert_allclose(present, golden[f"{label}/present"], atol=CLOSE, rtol=1e-4, err_msg=label)
    first = logits[0].ravel() > 0
    assert (first == np.unpackbits(golden[f"{label}/signs"], count=first.size).astype(bool)).mean() >= EQUAL, label


def test_files_of_all_layouts_hold_the_same_network(network: Sam2Model, tmp_path: Path) -> None:
    config = bare(SMALL).config.to_dict()
    video = Sam2VideoModel(Sam2VideoConfig(**{k: config[k] for k in ("vision_config", "prompt_encoder_config")}))
    video.load_state_dict(ours(), strict=False)
    video.save_pretrained(tmp_path / "video")
    save_file(laid_out(network.state_dict(), OFFICIAL), tmp_path / "merged.safetensors")
    image = Sam2Model(bare(SMALL).config)
    image.load_state_dict(ours())
    image.save_pretrained(tmp_path / "image")
    for file in ("video/model.safetensors", "image/model.safetensors", "merged.safetensors"):
        for key, value in load_network(SMALL, tmp_path / file).state_dict().items():
            assert torch.equal(value, network.state_dict()[key]), (file, key)


def test_frequencies_may_be_there_once(network: Sam2Model, tmp_path: Path) -> None:
    held = laid_out(ours(), PLAIN)
    del held["shared_image_embedding.positional_embedding"]
    save_file(held, tmp_path / "model.safetensors")
    load_network(SMALL, tmp_path / "model.safetensors")


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    torch.save({key: value.half() for key, value in official().items()}, tmp_path / "half.pt")
    network = load_network(SMALL, tmp_path / "half.pt")
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.fixture(scope="module")
def sam3_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tracker alone, and as a part of all of SAM 3, written by transformers."""
    folder = tmp_path_factory.mktemp("sam3")
    save_file(laid_out(ours(three=True), WHOLE), folder / "whole.safetensors")
    alone = Sam3TrackerModel(bare(SMALL_3).config)
    alone.load_state_dict(ours(three=True))
    alone.save_pretrained(folder / "alone")
    save_file(laid_out(ours(three=True), PLAIN), folder / "plain.safetensors")
    return {
        "whole": folder / "whole.safetensors",
        "alone": folder / "alone/model.safetensors",
        "plain": folder / "plain.safetensors",
    }


@pytest.mark.parametrize("kind", ["whole", "alone", "plain"])
def test_the_tracker_of_sam3_is_found_in_its_files(kind: str, sam3_files: dict[str, Path]) -> None:
    for key, value in load_network(SMALL_3, sam3_files[kind]).state_dict().items():
        assert torch.equal(value, ours(three=True)[key]), key


def test_all_keys_of_sam3_are_known() -> None:
    """Of the real model, without memory for it: what the tracker needs is there, all else is left out knowingly."""
    with torch.device("meta"):
        held = whole(Sam3VideoModel(Sam3VideoConfig()).state_dict())
    needed = bare(VARIANTS["sam3-tracker"]).state_dict()
    assert layout_of(held) is PLAIN
    assert {key: held[key].shape for key in PLAIN.used(held)} == {key: value.shape for key, value in needed.items()}


@pytest.mark.parametrize("variant", [SMALL, SMALL_3], ids=["sam2", "sam3"])
def test_answers_are_those_of_transformers_asked_directly(
    variant: Variant, file: Path, sam3_files: dict[str, Path]
) -> None:
    """The documented input into the model's own forward, beside a view and prompts in the window's coordinates."""
    path = sam3_files["whole"] if variant is SMALL_3 else file
    model, direct = Sam2.load(variant, path, "cpu"), load_network(variant, path)
    # transformers 5.23 forgets this token of SAM 3 that the authors add; without it both must say the same.
    if variant is SMALL_3:
        model._network.no_memory_embedding = direct.no_memory_embedding = torch.nn.Parameter(torch.zeros(1, 1, 256))
    side = variant.side
    mean, deviation = ((0.5,) * 3, (0.5,) * 3) if variant is SMALL_3 else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    colours = np.random.default_rng(3).random((3, side, side), dtype=np.float32)
    pixels = (torch.tensor(colours) - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    (embedding,) = model.embed([View(colours, np.ones((side, side), bool), (1.0, 1.0))])
    point, box = np.array([[40.0, 99.5]]), np.array([[20.0, 30], [150, 200]])
    x_y, corners = torch.tensor([[[[99.5, 40.0]]]]), torch.tensor([[[30.0, 20, 200, 150]]])
    none = np.zeros((0, 2))
    for prompt, told, count in (
        (WindowPrompt(point, np.ones(1, bool)), {"input_points": x_y}, 3),
        (WindowPrompt(none, np.zeros(0, bool), box=box), {"input_boxes": corners}, 1),
        (WindowPrompt(point, np.zeros(1, bool), box=box), {"input_points": x_y, "input_boxes": corners}, 1),
    ):
        if not prompt.labels.all():
            told["input_labels"] = torch.zeros(1, 1, 1, dtype=torch.int64)
        wanted = direct(pixel_values=pixels[None], multimask_output=count == 3, **told)
        found = model.predict(embedding, prompt)
        scores = (wanted.iou_scores * wanted.object_score_logits.sigmoid())[0, 0].numpy()
        order = np.argsort(-scores, kind="stable")
        masks = torch.nn.functional.interpolate(wanted.pred_masks[0], (side, side), mode="bilinear").numpy()
        assert len(found.scores) == count
        np.testing.assert_allclose(found.scores, scores[order], atol=1e-5)
        np.testing.assert_allclose(found.logits, masks[0][order], atol=CLOSE)


def test_sam3_is_told_that_nothing_is_remembered(sam3_files: dict[str, Path]) -> None:
    """The authors add the token to the map with the fewest cells that the decoder sees."""
    model = Sam2.load(SMALL_3, sam3_files["whole"], "cpu")
    token = model._network.no_memory_embedding
    assert token.abs().max() > 0.01
    image = torch.tensor(picture(336))
    with_token = model._look(image)
    model._network.no_memory_embedding = torch.nn.Parameter(torch.zeros(1, 1, 256))
    without = model._look(image)
    assert torch.equal(with_token[0], without[0])
    np.testing.assert_allclose((with_token[2] - without[2])[0, :, 5, 7], token[0, 0], atol=1e-5)


def test_torchvision_is_neither_there_nor_asked_for(file: Path) -> None:
    script = (
        "import sys; sys.modules['torchvision'] = None\n"
        "sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "from promptile.models.sam2.loading import bare, load_network\n"
        "from sam2_small import SMALL, SMALL_3\n"
        f"load_network(SMALL, Path({str(file)!r})), bare(SMALL_3)\n"
        "print([name for name in sys.modules if 'image_processing_sam' in name])"
    )
    root = Path(__file__).parents[1]
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root).stdout
    assert out == "[]\n"
