"""What goes into detectors and rankers and what is made of their answers, beside the processors of transformers.

The networks are the same, with the same random weights; so is nearly every number.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
import transformers
from PIL import Image

from detectors_small import write
from promptile.models import detectors, rankers
from promptile.models.protocols import Detections, Thresholds, View

SHAPES = {"1:1": (90, 90, 3), "2:3": (150, 100, 3), "5:2": (60, 150, 3), "grey": (80, 110, 1)}
PHRASES = ["Building", "swimming pool", "a tree"]


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Callable[[str], tuple[Any, Path]]:
    """A small model and its folder, made once."""
    made: dict[str, tuple[Any, Path]] = {}

    def of(name: str) -> tuple[Any, Path]:
        if name not in made:
            folder = write(name, tmp_path_factory.mktemp("snapshots") / name)
            family = rankers if name in rankers.VARIANTS else detectors
            made[name] = family.load(name, 2, weights=folder, device="cpu"), folder
        return made[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "check_consent", lambda *_: None)
        yield of


@pytest.fixture(params=SHAPES)
def picture(request) -> np.ndarray:
    """Waves and noise in 8 bits, ``(rows, columns, channels)``."""
    rows, columns, channels = SHAPES[request.param]
    rng = np.random.default_rng(rows)
    y, x = np.mgrid[:rows, :columns]
    waves = np.stack([np.sin(x / (5 + c)) * np.cos(y / (9 - c)) for c in range(channels)], -1)
    return np.clip(128 + 80 * waves + rng.normal(0, 25, waves.shape), 0, 255).astype(np.uint8)


def seen(picture: np.ndarray) -> View:
    samples = np.moveaxis(picture, -1, 0).astype(np.float32) / 255
    return View(samples, np.ones(picture.shape[:2], bool), (1.0, 1.0))


def coloured(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture if picture.shape[2] == 3 else picture[..., 0]).convert("RGB")


def edges(boxes: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Corners of transformers in our convention."""
    found = boxes.numpy().reshape(-1, 2, 2)[..., ::-1] - 0.5
    return found.clip(-0.5, np.subtract(shape, 0.5))


def by_score(detections: Detections) -> list[tuple[float, int, list[float]]]:
    rows = zip(detections.scores, detections.phrases, detections.boxes, strict=True)
    return [(score, phrase, box.ravel().tolist()) for score, phrase, box in rows]


def assert_same(ours: Detections, scores: np.ndarray, phrases: np.ndarray, boxes: np.ndarray) -> None:
    """The same boxes in the same order, but for those cut away at the border."""
    order = np.argsort(-scores, kind="stable")
    order = order[(boxes[order, 1] > boxes[order, 0]).all(axis=1)]
    assert len(ours.scores) == len(order) > 3
    np.testing.assert_allclose(ours.scores, scores[order], atol=2e-5)
    assert ours.phrases.tolist() == phrases[order].tolist()
    np.testing.assert_allclose(ours.boxes, boxes[order], atol=0.01)  # half a pixel was asked for


def middle(model: Any, picture: np.ndarray, phrases: list[str]) -> Thresholds:
    """Thresholds that half of what there is passes."""
    bar = float(np.median(model.detect([seen(picture)], phrases, Thresholds(box=0, text=0))[0].scores))
    return Thresholds(box=bar, text=bar)


@pytest.mark.parametrize("name", ["grounding-dino-tiny", "mm-grounding-dino-tiny"])
def test_grounding_dino(name, small, picture):
    (model, folder), shape = small(name), picture.shape[:2]
    images = transformers.GroundingDinoImageProcessorPil.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.GroundingDinoProcessor(images, words)
    asked = processor(images=coloured(picture), text=[PHRASES], return_tensors="pt")
    ours = model._image(np.array(coloured(picture)))
    assert (ours - asked["pixel_values"][0]).abs().max() < 1e-6
    (caption,) = model._asked(PHRASES)
    assert caption.ids.tolist() == asked["input_ids"].tolist()

    with torch.inference_mode():
        said = model._network(**asked)
    even = middle(model, picture, PHRASES)
    (theirs,) = processor.post_process_grounded_object_detection(
        said, asked["input_ids"], threshold=even.box, text_threshold=even.text, target_sizes=[shape]
    )
    (found,) = model.detect([seen(picture)], PHRASES, even)

    # Theirs are named by all likely tokens, also dots and signs; ours by the likeliest token of a phrase.
    bare = [label.replace(".", " ").replace("[SEP]", " ").split() for label in theirs["text_labels"]]
    named = [i for i, label in enumerate(bare) if label]
    kept = edges(theirs["boxes"], shape)[named]
    labels = [bare[i] for i in named]
    flat = {tuple(np.round(box.ravel(), 2)): label for box, label in zip(kept, labels, strict=True)}
    visible = [i for i, box in enumerate(kept) if (box[1] > box[0]).all()]
    assert 3 < len(found.scores) == len(visible) < 30  # of 40
    for score, phrase, box in by_score(found):
        at = min(flat, key=lambda other: np.abs(np.subtract(other, box)).max())
        assert np.abs(np.subtract(at, box)).max() < 0.05
        assert set(flat[at]) & set(PHRASES[phrase].lower().split())
        assert score <= theirs["scores"].max() + 1e-6


def test_grounding_dino_with_one_word(small, picture):
    """Then a score is the probability of its token, and nothing has to be chosen."""
    (model, _), shape = small("grounding-dino-tiny"), picture.shape[:2]
    asked = model._asked(["pool"])[0]
    with torch.inference_mode():
        said = model._network(pixel_values=model._image(np.array(coloured(picture)))[None], input_ids=asked.ids)
    likely = said.logits[0].sigmoid()[:, asked.tokens[0][0]]
    corners = transformers.image_transforms.center_to_corners_format(said.pred_boxes[0])
    even = middle(model, picture, ["pool"])
    kept = likely > even.box
    scale = torch.tensor([shape[1], shape[0]] * 2)
    (found,) = model.detect([seen(picture)], ["pool"], even)
    assert_same(found, likely[kept].numpy(), np.zeros(int(kept.sum())), edges(corners[kept] * scale, shape))


def test_owlv2(small, picture):
    (model, folder), shape = small("owlv2-base"), picture.shape[:2]
    images = transformers.Owlv2ImageProcessorPil.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder, model_max_length=16)
    processor = transformers.Owlv2Processor(images, words)
    asked = processor(images=coloured(picture), text=[PHRASES], return_tensors="pt")
    ours = model._image(np.array(coloured(picture)))
    assert (ours - asked["pixel_values"][0]).abs().max() < 1e-5
    with torch.inference_mode():
        said = model._network(**asked)
    (theirs,) = processor.post_process_grounded_object_detection(said, threshold=0.1, target_sizes=[shape])
    (found,) = model.detect([seen(picture)], PHRASES, model.card.thresholds)
    assert_same(found, theirs["scores"].numpy(), theirs["labels"].numpy(), edges(theirs["boxes"], shape))


def sam3_processor() -> dict[str, Any]:
    """Functions of a module of transformers that cannot be imported without torchvision, which they do not use."""
    path = find_spec("transformers.models.sam3.image_processing_sam3").origin
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    wanted = {"_scale_boxes", "post_process_instance_segmentation"}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in wanted]
    names: dict[str, Any] = {"torch": torch}
    lazy = ast.parse("from __future__ import annotations").body
    exec(compile(ast.Module([*lazy, *functions], []), path, "exec"), names)
    return names


def test_sam3(small, picture):
    (model, folder), shape = small("sam3"), picture.shape[:2]
    side = model._network.config.image_size
    stretched = np.asarray(coloured(picture).resize((side, side), Image.Resampling.BILINEAR))
    pixels = torch.tensor(stretched).permute(2, 0, 1) / 255 * 2 - 1
    assert (model._image(np.array(coloured(picture))) - pixels).abs().max() < 1e-6

    words = transformers.AutoTokenizer.from_pretrained(folder)
    scores, phrases, boxes, masks = [], [], [], []
    for i, phrase in enumerate(PHRASES):
        asked = words(phrase, return_tensors="pt", padding="max_length", max_length=32)
        with torch.inference_mode():
            said = model._network(pixel_values=pixels[None], **asked)
        (one,) = sam3_processor()["post_process_instance_segmentation"](None, said, 0.3, 0.5, [shape])
        scores.append(one["scores"].numpy())
        phrases.append(np.full(len(one["scores"]), i))
        boxes.append(edges(one["boxes"], shape))
        masks += one["masks"].numpy().reshape(-1, *shape).tolist() if len(one["scores"]) else []
    (found,) = model.detect([seen(picture)], PHRASES, model.card.thresholds)
    assert_same(found, *(np.concatenate(each) for each in (scores, phrases, boxes)))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    assert (found.masks == np.array(masks)[order]).mean() > 0.9999


@pytest.mark.parametrize(
    ("name", "images"), [("clip-b32", "CLIPImageProcessorPil"), ("siglip2-base", "SiglipImageProcessorPil")]
)
def test_rankers(name, images, small, picture):
    model, folder = small(name)
    rows, columns = picture.shape[:2]
    square = Image.new("RGB", (max(rows, columns),) * 2, "white")
    square.paste(coloured(picture), ((square.width - columns) // 2, (square.height - rows) // 2))
    pixels = getattr(transformers, images).from_pretrained(folder)(square, return_tensors="pt")
    samples = seen(picture).samples
    assert (model._image(samples) - pixels["pixel_values"][0]).abs().max() < 1e-6
    words = transformers.AutoTokenizer.from_pretrained(folder)
    filled = {"padding": "max_length", "max_length": 64} if name.startswith("siglip") else {"padding": True}
    texts = words([phrase.lower() for phrase in PHRASES], return_tensors="pt", **filled)
    taken = inspect.signature(model._network.forward).parameters
    texts = {key: value for key, value in texts.items() if key in taken and (key == "input_ids" or "clip-" in name)}
    with torch.inference_mode():
        said = model._network(**pixels, **texts)
    np.testing.assert_allclose(model.rank([samples], PHRASES), said.logits_per_image.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["grounding-dino-tiny", "mm-grounding-dino-tiny", "owlv2-base", "sam3", "clip-b32"])
def test_tables_that_no_file_holds_are_computed(name, small):
    network = small(name)[0]._network
    anew = type(network)(network.config)
    anew.load_state_dict(network.state_dict(), strict=True)
    tables, others = dict(network.named_buffers()), dict(anew.named_buffers())
    assert tables.keys() == others.keys()
    assert tables
    for key, table in tables.items():
        assert torch.equal(table, others[key]), key


def test_sizes_of_inputs_are_those_of_transformers():
    from transformers.image_transforms import get_size_with_aspect_ratio

    from promptile.models.detectors.grounding import _input

    rng = np.random.default_rng(0)
    edge_cases = [(800, 800), (800, 1333), (1333, 800), (801, 1334), (1, 1), (1, 4000), (4000, 1)]
    for shape in [*map(tuple, rng.integers(1, 5000, (2000, 2)).tolist()), *edge_cases]:
        theirs = get_size_with_aspect_ratio(shape, 800, 1333)
        assert _input(shape, 800, 1333) == (max(1, theirs[0]), max(1, theirs[1]))  # theirs may be no image at all
