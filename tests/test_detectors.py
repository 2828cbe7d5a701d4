"""Detectors and rankers: what they take, what they answer, and what is said when something is missing."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file, save_file

from detectors_small import write
from promptile import models
from promptile.cli import main
from promptile.errors import ModelError
from promptile.models import detectors, rankers
from promptile.models.protocols import Detector, Model, Ranker, Thresholds, View
from promptile.testing import ModelContract

PHRASES = ["building", "swimming pool", "tree"]
LOW = Thresholds(box=0.05, text=0.05)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("snapshots")
    return {name: write(name, base / name) for name in ("grounding-dino-tiny", "owlv2-base", "sam3", "clip-b32")}


@pytest.fixture(scope="module")
def loaded(folders) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "check_consent", lambda *_: None)
        found = {name: detectors.load(name, 2, weights=folders[name], device="cpu") for name in list(folders)[:3]}
        return found | {"clip-b32": rankers.load("clip-b32", 2, weights=folders["clip-b32"], device="cpu")}


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No weights, no licence, no network."""
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("PROMPTILE_OFFLINE", "1")
    for name in ("PROMPTILE_WEIGHTS", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def view(rows: int, columns: int, channels: int = 3, seed: int = 0) -> View:
    samples = np.random.default_rng(seed).random((channels, rows, columns), np.float32)
    return View(samples, np.ones((rows, columns), bool), (1.0, 1.0))


NAMES = ["grounding-dino-tiny", "owlv2-base", "sam3"]


@pytest.mark.parametrize("name", NAMES)
def test_boxes_lie_on_sample_edges_in_the_view(name, loaded):
    model = loaded[name]
    assert isinstance(model, Detector)
    assert model.card.abilities == {"text"}
    (found,) = model.detect([view(50, 70)], PHRASES, LOW)
    assert len(found.scores) > 5
    assert (np.diff(found.scores) <= 0).all()
    assert set(found.phrases) <= {0, 1, 2}
    assert (found.boxes[:, 0] < found.boxes[:, 1]).all()
    assert found.boxes.min() >= -0.5
    assert (found.boxes <= [49.5, 69.5]).all()
    assert (found.scores > LOW.box).all()
    assert (found.masks is not None) == (name == "sam3")
    if found.masks is not None:
        assert found.masks.shape == (len(found.scores), 50, 70)
        assert found.masks.dtype == bool


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (90, 1), (3, 4000)], ids=str)
def test_views_may_be_thin(name, shape, loaded):
    (found,) = loaded[name].detect([view(*shape)], PHRASES, LOW)
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.boxes).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_threshold_leaves_the_best(name, loaded):
    """So detections kept at a low floor can be filtered later, without the detector."""
    model = loaded[name]
    (many,) = model.detect([view(50, 70)], PHRASES, LOW)
    bar = float(np.median(many.scores))
    for high in (Thresholds(box=bar, text=0.0), Thresholds(box=0.0, text=bar)):
        if name != "grounding-dino-tiny" and not high.box:
            continue  # other models have no words
        (few,) = model.detect([view(50, 70)], PHRASES, high)
        np.testing.assert_array_equal(few.boxes, many.boxes[many.scores > bar])
        np.testing.assert_array_equal(few.phrases, many.phrases[many.scores > bar])


@pytest.mark.parametrize("name", NAMES)
def test_views_do_not_depend_on_one_another(name, loaded, monkeypatch):
    model = loaded[name]
    monkeypatch.setattr(model._seeing, "size", 2)
    views = [view(50, 70), view(40, 40, 1), view(50, 70, seed=1), view(70, 50), view(50, 70, seed=2)]
    together = model.detect(views, PHRASES, LOW)
    for one, seen in zip(together, views, strict=True):
        (by_itself,) = model.detect([seen], PHRASES, LOW)
        np.testing.assert_allclose(one.scores, by_itself.scores, atol=1e-4)
        np.testing.assert_allclose(np.sort(one.boxes, axis=0), np.sort(by_itself.boxes, axis=0), atol=0.01)
    assert model.detect([], PHRASES, LOW) == []


@pytest.mark.parametrize("name", NAMES)
def test_threads_get_the_answers_to_their_own_questions(name, loaded):
    model, views = loaded[name], [view(40, 50)]
    wishes = [PHRASES, ["ship"], PHRASES[::-1], ["a lake", "roof"]] * 2
    alone = [model.detect(views, wish, LOW)[0] for wish in wishes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda wish: model.detect(views, wish, LOW)[0], wishes))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_array_equal(one.phrases, other.phrases)


class TestDetectorsKeepTheContract(ModelContract):
    @pytest.fixture(autouse=True, params=[*NAMES, "clip-b32"])
    def chosen(self, request, loaded):
        self.found = loaded[request.param]

    def model(self) -> Model:
        return self.found


def test_fewer_are_looked_at_together_when_memory_runs_out(loaded, monkeypatch):
    model, find = loaded["owlv2-base"], loaded["owlv2-base"]._find
    sizes = []

    def narrow(images, *more):
        sizes.append(len(images))
        if len(images) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return find(images, *more)

    monkeypatch.setattr(model._seeing, "size", 4)
    monkeypatch.setattr(model, "_find", narrow)
    views = [view(40, 40, seed=seed) for seed in range(4)]
    found = model.detect(views, PHRASES, LOW)
    assert sizes == [4, 2, 1, 1, 1, 1]
    monkeypatch.undo()
    for one, seen in zip(found, views, strict=True):
        np.testing.assert_array_equal(one.boxes, model.detect([seen], PHRASES, LOW)[0].boxes)


def test_many_phrases_are_asked_in_groups(loaded, monkeypatch):
    model = loaded["grounding-dino-tiny"]
    many = [f"{word} {number}" for word in ("building", "pool", "tree") for number in range(60)]
    captions = model._asked(many)
    assert len(captions) > 1
    assert max(caption.ids.shape[1] for caption in captions) <= 256
    assert [i for caption in captions for i in caption.phrases] == list(range(len(many)))
    text = model._snapshot.tokenizer
    for caption in captions:
        for i, tokens in zip(caption.phrases, caption.tokens, strict=True):
            assert text.decode(caption.ids[0][list(tokens)]) == many[i]

    monkeypatch.setattr(model._network.config, "max_text_len", 8)
    model._last = None
    parted = model._asked(PHRASES)
    assert [caption.phrases for caption in parted] == [(0, 1), (2,)]
    (found,) = model.detect([view(50, 70)], PHRASES, LOW)
    monkeypatch.undo()
    model._last = None
    first, second = (model.detect([view(50, 70)], part, LOW)[0] for part in (PHRASES[:2], PHRASES[2:]))
    np.testing.assert_allclose(found.scores, np.sort([*first.scores, *second.scores])[::-1], atol=1e-6)
    assert (found.phrases == 2).sum() == len(second.scores)


def test_phrases_are_written_as_the_model_reads_them(loaded):
    model = loaded["grounding-dino-tiny"]
    (caption,) = model._asked([" Swimming  Pool.", "Tree"])
    assert model._snapshot.tokenizer.decode(caption.ids[0]) == "[CLS] swimming pool. tree. [SEP]"
    with pytest.raises(ModelError, match=r"'\.' says nothing"):
        model.detect([view(40, 40)], ["."], LOW)
    with pytest.raises(ModelError, match="asked for nothing"):
        model.detect([view(40, 40)], [], LOW)


@pytest.mark.parametrize(("name", "room"), [("grounding-dino-tiny", 254), ("owlv2-base", 16), ("sam3", 32)])
def test_a_phrase_that_is_too_long_is_refused(name, room, loaded):
    with pytest.raises(ModelError, match=rf"has \d+ tokens, and the model reads {room}: .*fewer words"):
        loaded[name].detect([view(40, 40)], ["qqqqqqqq " * 40], LOW)


def test_channels_are_one_or_three(loaded):
    with pytest.raises(ModelError, match="takes 1 or 3 channels, not 2: use --channels"):
        loaded["owlv2-base"].detect([view(40, 40, 2)], PHRASES, LOW)


def test_rankers_take_pictures_of_any_size(loaded):
    model = loaded["clip-b32"]
    assert isinstance(model, Ranker)
    assert model.card.abilities == {"rank"}
    rng = np.random.default_rng(0)
    pictures = [rng.random((3, rows, columns), np.float32) for rows, columns in rng.integers(1, 90, (20, 2))]
    logits = model.rank(pictures, PHRASES)
    assert logits.shape == (20, 3)
    assert logits.dtype == np.float32
    alone = np.concatenate([model.rank([picture], PHRASES) for picture in pictures])
    np.testing.assert_allclose(logits, alone, atol=1e-4)
    assert model.rank([], PHRASES).shape == (0, 3)
    white = np.ones((3, 30, 10), np.float32)
    np.testing.assert_allclose(model.rank([white], PHRASES), model.rank([white[:, :8]], PHRASES), atol=1e-5)


def test_workers_load_the_weights_themselves(loaded):
    for name in ("owlv2-base", "clip-b32"):
        there = pickle.loads(pickle.dumps(loaded[name]))
        assert there.card == loaded[name].card
    bare = type(loaded["owlv2-base"])(detectors.VARIANTS["owlv2-base"], loaded["owlv2-base"]._snapshot)
    with pytest.raises(ModelError, match="cannot be sent to a worker"):
        pickle.dumps(bare)


def test_digests_tell_weights_and_words_apart(folders, loaded, tmp_path):
    other = shutil.copytree(folders["clip-b32"], tmp_path / "other")
    assert rankers.load("clip-b32", 2, weights=other, device="cpu").card.digest == loaded["clip-b32"].card.digest
    words = json.loads((other / "tokenizer_config.json").read_text(encoding="utf-8"))
    (other / "tokenizer_config.json").write_text(json.dumps(words | {"note": 1}), encoding="utf-8")
    assert rankers.load("clip-b32", 2, weights=other, device="cpu").card.digest != loaded["clip-b32"].card.digest


@pytest.mark.parametrize(
    ("name", "parts"),
    [("grounding-dino-tiny", "config.json, tokenizer.json, model.safetensors"), ("siglip2-base", "model.safetensors")],
)
def test_without_weights_the_way_to_them_is_said(name, parts, alone):
    with pytest.raises(
        ModelError, match=rf"a folder {name} with .*{parts}.* promptile models fetch {name}, or download"
    ):
        models.load(name, 2)


def test_sam3_wants_its_licence_accepted(alone, folders):
    with pytest.raises(ModelError, match=r"'SAM License' .*promptile models fetch sam3 --accept-licence"):
        models.load("sam3", 2, weights=folders["sam3"])
    assert main(["models", "fetch", "sam3", "--accept-licence", "--from", str(folders["sam3"]), "--quiet"]) == 0
    assert models.load("sam3", 2, device="cpu").card.licence == "SAM License"


def test_without_transformers_the_extra_is_named(alone, folders, monkeypatch):
    for family, name in ((detectors, "owlv2-base"), (rankers, "clip-b32")):
        for module in [each for each in sys.modules if each.startswith(f"{family.__name__}.")]:
            if not module.endswith("variants"):
                monkeypatch.delitem(sys.modules, module)
        monkeypatch.delitem(sys.modules, "promptile.models.snapshots", raising=False)
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(ModelError, match=r"needs transformers: pip install 'promptile\[hf\]'"):
            family.load(name, 2, weights=folders[name])


def broken(folder: Path, target: Path, **files: bytes) -> Path:
    shutil.copytree(folder, target)
    for name, content in files.items():
        (target / name.replace("__", ".")).write_bytes(content)
    return target


def test_what_is_wrong_with_a_folder_is_said(folders, tmp_path):
    good = folders["owlv2-base"]

    def told(folder: Path) -> str:
        with pytest.raises(ModelError) as caught:
            detectors.load("owlv2-base", 2, weights=folder, device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "There are no weights at" in told(tmp_path / "nothing")
    lacking = broken(good, tmp_path / "lacking")
    (lacking / "config.json").unlink()
    assert "lacks config.json: it needs all files of https://huggingface.co/google/owlv2" in told(lacking)
    assert "holds a model of type 'clip' and not owlv2" in told(folders["clip-b32"])
    weights = (good / "model.safetensors").read_bytes()
    assert "its header does not fit" in told(broken(good, tmp_path / "cut", model__safetensors=weights[:1000]))
    assert "config.json cannot be read" in told(broken(good, tmp_path / "config", config__json=b"{"))
    assert "tokenizer" in told(broken(good, tmp_path / "words", tokenizer__json=b"<html>"))
    sizes = json.loads((good / "config.json").read_bytes())
    sizes["vision_config"]["num_hidden_layers"] = 2
    deeper = broken(good, tmp_path / "deeper", config__json=json.dumps(sizes).encode())
    assert "keys are missing (" in told(deeper)
    sizes["vision_config"] |= {"num_hidden_layers": 1, "patch_size": 8}
    finer = broken(good, tmp_path / "finer", config__json=json.dumps(sizes).encode())
    assert "of another shape" in told(finer)
    more = broken(good, tmp_path / "more")
    save_file(load_file(good / "model.safetensors") | {"more": torch.zeros(1)}, more / "model.safetensors")
    assert "1 key is unknown (more)" in told(more)


def rewritten(folder: Path, target: Path, more: dict[str, torch.Tensor], prefix: str = "") -> Path:
    """A snapshot whose weights have other names and company."""
    shutil.copytree(folder, target)
    held = {prefix + key: value for key, value in load_file(folder / "model.safetensors").items()}
    save_file(held | more, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_snapshots_load_as_their_authors_publish_them(folders, loaded, tmp_path, monkeypatch):
    """With tables that networks compute by themselves, heads that are shared, parts for videos, older tokenizers."""
    monkeypatch.setattr(detectors, "check_consent", lambda *_: None)
    heads = load_file(folders["grounding-dino-tiny"] / "model.safetensors")
    more = {
        key.replace("bbox_embed.0", f"{place}bbox_embed.1"): value.clone()
        for key, value in heads.items()
        for place in ("", "model.decoder.")
        if key.startswith("bbox_embed.0.")
    }
    more["model.text_backbone.embeddings.position_ids"] = torch.arange(512)[None]
    table = "attention.self.relative_position_index"
    more[f"model.backbone.conv_encoder.model.encoder.layers.0.blocks.0.{table}"] = torch.zeros(16, 16, dtype=torch.long)
    dino = rewritten(folders["grounding-dino-tiny"], tmp_path / "dino", more)

    video = {"tracker_model.x": torch.zeros(2), "tracker_neck.x": torch.zeros(2)}
    sam3 = rewritten(folders["sam3"], tmp_path / "sam3", video, "detector_model.")
    sizes = {"model_type": "sam3_video", "detector_config": json.loads((sam3 / "config.json").read_bytes())}
    (sam3 / "config.json").write_text(json.dumps(sizes), encoding="utf-8")

    tables = {"owlv2.vision_model.embeddings.position_ids": torch.arange(37)[None]}
    owl = rewritten(folders["owlv2-base"], tmp_path / "owl", tables)
    words = json.loads((owl / "tokenizer.json").read_bytes())
    (owl / "tokenizer.json").unlink()
    vocabulary = words["model"]["vocab"] | {each["content"]: each["id"] for each in words["added_tokens"]}
    (owl / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in words["model"]["merges"]), ""])
    (owl / "merges.txt").write_text(merges, encoding="utf-8")

    for name, folder in (("grounding-dino-tiny", dino), ("sam3", sam3), ("owlv2-base", owl)):
        (theirs,) = detectors.load(name, 2, weights=folder, device="cpu").detect([view(40, 50)], PHRASES, LOW)
        (ours,) = loaded[name].detect([view(40, 50)], PHRASES, LOW)
        np.testing.assert_allclose(theirs.scores, ours.scores, atol=1e-6)
        np.testing.assert_array_equal(theirs.phrases, ours.phrases)

    old = shutil.copytree(folders["clip-b32"], tmp_path / "clip")
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    picture = np.random.default_rng(0).random((3, 30, 40), np.float32)
    found = rankers.load("clip-b32", 2, weights=old, device="cpu").rank([picture], PHRASES)
    np.testing.assert_allclose(found, loaded["clip-b32"].rank([picture], PHRASES), atol=1e-6)


def test_a_file_of_the_folder_does_too(folders, loaded):
    model = rankers.load("clip-b32", 2, weights=folders["clip-b32"] / "model.safetensors", device="cpu")
    assert model.card.digest == loaded["clip-b32"].card.digest


def test_commands_tell_what_they_can_do(alone, capsys):
    for name, ability in (("owlv2-large", "text"), ("clip-l14", "rank")):
        assert main(["models", "show", name, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["abilities"] == [ability]
        assert shown["weights"] == f"not here: promptile models fetch {name}"
        assert shown["licence"]
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in listed.splitlines()}
    assert {rows[name][0] for name in detectors.VARIANTS} == {"text"}
    assert {rows[name][0] for name in rankers.VARIANTS} == {"rank"}
