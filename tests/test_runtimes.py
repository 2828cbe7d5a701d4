"""Exports of SAM and its kin, computed by ONNX Runtime and OpenVINO: the same answers, kept in the right place."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from promptile import models
from promptile.errors import ModelError
from promptile.models.protocols import View, WindowPrompt
from promptile.models.runtimes import choosing
from promptile.models.runtimes.exports import ExportError, exported
from promptile.models.runtimes.protocol import Port
from promptile.testing import ModelContract

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from promptile.models.runtimes.export import Graph, write_graph  # noqa: E402
from promptile.models.sam.loading import load_network  # noqa: E402
from promptile.models.sam.model import Sam  # noqa: E402
from promptile.models.sam.nets.network import Questions  # noqa: E402
from promptile.models.sam.running import network_of  # noqa: E402
from promptile.models.sam.variants import VARIANTS, Encoder  # noqa: E402
from sam_small import state, write  # noqa: E402

CPU = torch.device("cpu")
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
_VIT = Encoder(kind="vit", width=32, depth=2, heads=2, spread=(1,), early=32)
SMALL = {
    "sam": replace(VARIANTS["sam-b"], side=256, encoder=_VIT),
    "sam-hq": replace(VARIANTS["sam-hq-b"], side=256, encoder=_VIT),
    "efficient-sam": replace(VARIANTS["efficient-sam-ti"], side=256, encoder=replace(_VIT, spread=())),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory):
    """Makes a file of a small model; exports beside it are used by all tests."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def made(name: str) -> Path:
        return write(folder / f"{name}.pt", state(SMALL[name]), wrapped=SMALL[name].style == "efficient")

    return made


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))


def questions(name: str, side: int) -> dict[str, tuple[Questions, bool]]:
    """Prompts of each form, for more objects than the example of the export has."""
    draw = torch.Generator().manual_seed(0)
    points, ones = torch.rand(3, 1, 2, generator=draw) * side, torch.ones(3, 1, dtype=torch.int64)
    box = torch.tensor([[[20.0, 30.0], [200.0, 150.0]]]).expand(3, 2, 2)
    mask = torch.randn(3, 1, side // 4, side // 4, generator=draw)
    asked = {
        "a point": (Questions(points, ones), True),
        "two points": (Questions(torch.cat([points, points.flip(2)], 1), torch.cat([ones, 0 * ones], 1)), False),
        "a box": (Questions(points[:, :0], ones[:, :0], box), False),
        "a box and a point": (Questions(points, ones, box), False),
        "one object": (Questions(points[:1], ones[:1]), True),
    }
    if "efficient" not in name:
        asked["a point and a mask"] = (Questions(points, ones, None, mask), False)
        asked["a mask"] = (Questions(points[:, :0], ones[:, :0], None, mask), False)
    return asked


@pytest.mark.parametrize(
    ("name", "runtime"),
    [("sam", "onnx"), ("sam-hq", "openvino"), ("efficient-sam", "onnx"), ("efficient-sam", "openvino")],
)
@torch.inference_mode()
def test_answers_are_those_of_torch(name: str, runtime: str, weights) -> None:
    pytest.importorskip(RUNTIMES[runtime])
    variant, path = SMALL[name], weights(name)
    ours = load_network(variant, path)
    theirs, used = network_of(variant, path, CPU, runtime, version="1", hq_token_only=False)
    assert used == runtime
    image = torch.randn(1, 3, variant.side, variant.side, generator=torch.Generator().manual_seed(1))
    mine, seen = (network.prepare(network.embed(image)) for network in (ours, theirs))
    torch.testing.assert_close(seen.image, mine.image, atol=1e-4, rtol=0)
    assert (seen.fine is None) == (mine.fine is None)
    for what, (asked, ambiguous) in questions(name, variant.side).items():
        masks, iou = ours.decode(mine, asked, ambiguous=ambiguous)
        others, guesses = theirs.decode(seen, asked, ambiguous=ambiguous)
        assert torch.allclose(masks, others, atol=1e-4, rtol=0), what
        assert torch.allclose(iou, guesses, atol=1e-4, rtol=0), what


@torch.inference_mode()
def test_the_finer_mask_alone_has_an_export_of_its_own(weights) -> None:
    pytest.importorskip("onnxruntime")
    variant, path = SMALL["sam-hq"], weights("sam-hq")
    ours = load_network(variant, path, hq_token_only=True)
    theirs, _ = network_of(variant, path, CPU, "onnx", version="1", hq_token_only=True)
    features = ours.prepare(ours.embed(torch.zeros(1, 3, variant.side, variant.side)))
    asked, ambiguous = questions("sam-hq", variant.side)["a point"]
    masks, _ = ours.decode(features, asked, ambiguous=ambiguous)
    torch.testing.assert_close(theirs.decode(features, asked, ambiguous=ambiguous)[0], masks, atol=1e-4, rtol=0)
    assert path.with_name(f"{path.name}.hq-token-only.onnx").is_dir()


@torch.inference_mode()
def test_masks_that_nobody_wants_are_not_drawn(weights) -> None:
    pytest.importorskip("onnxruntime")
    variant = SMALL["sam"]
    network, _ = network_of(variant, weights("sam"), CPU, "onnx", version="1", hq_token_only=False)
    features = network.prepare(network.embed(torch.zeros(1, 3, variant.side, variant.side)))
    asked, ambiguous = questions("sam", variant.side)["a point"]
    masks, iou = network.decode(features, asked, ambiguous=ambiguous, least=1e6)
    assert (masks < 0).all()
    assert masks.shape[:2] == iou.shape


@cache
def loaded(path: Path, runtime: str) -> Sam:
    return Sam.load(SMALL["sam"], path, "cpu", runtime=runtime)


class TestOnnxRuntime(ModelContract):
    finds_the_obvious = False  # its weights are no result of training

    @pytest.fixture(autouse=True)
    def _model(self, weights) -> None:
        pytest.importorskip("onnxruntime")
        self._sam = loaded(weights("sam"), "onnx")

    def model(self) -> Sam:
        return self._sam


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_threads_get_their_own_answers(runtime: str, weights) -> None:
    pytest.importorskip(RUNTIMES[runtime])
    sam = loaded(weights("sam"), runtime)
    view = View(np.random.default_rng(0).random((3, 64, 64), dtype=np.float32), np.ones((64, 64), bool), (1.0, 1.0))
    (embedding,) = sam.embed([view])
    asked = [WindowPrompt(np.array([[5.0 * i, 50.0]]), np.ones(1, bool)) for i in range(8)]
    alone = [sam.predict(embedding, prompt).logits for prompt in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda prompt: sam.predict(embedding, prompt).logits, asked))
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_digests_tell_runtimes_apart_and_workers_use_the_same(weights) -> None:
    pytest.importorskip("onnxruntime")
    torches, others = (loaded(weights("sam"), runtime) for runtime in ("torch", "onnx"))
    assert torches.card.digest != others.card.digest
    assert "onnx" not in torches.card.digest
    again, arguments = others.__reduce__()
    assert again.keywords["runtime"] == "onnx"
    assert again(*arguments).card.digest == others.card.digest


# What is chosen


@pytest.mark.parametrize(
    ("wish", "device", "missing", "chosen"),
    [
        ("auto", "cpu", (), "openvino"),
        ("auto", "cpu", ("openvino",), "onnx"),
        ("auto", "cpu", ("openvino", "onnxruntime"), "torch"),
        ("auto", "cpu", ("onnx",), "torch"),
        ("auto", "cuda", (), "torch"),
        ("onnx", "cpu", (), "onnx"),
        ("torch", "cpu", (), "torch"),
    ],
)
def test_auto_is_the_fastest_that_is_installed(
    wish: str, device: str, missing: tuple[str, ...], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: None if name in missing else name)
    assert choosing.runtime_of(wish, device) == chosen


@pytest.mark.parametrize(
    ("wish", "device", "said"),
    [
        ("tensorrt", "cpu", "Runtime 'tensorrt' is unknown: use auto, torch, onnx or openvino"),
        ("onnx", "cuda", "Runtime 'onnx' computes on the CPU only: add --device cpu, or use --runtime torch"),
        ("openvino", "cpu", r"Runtime 'openvino' needs openvino: pip install 'promptile\[openvino\]'"),
    ],
)
def test_what_cannot_be_is_said(wish: str, device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: None if name == "openvino" else name)
    with pytest.raises(ModelError, match=said):
        choosing.runtime_of(wish, device)


def test_models_without_a_choice_say_so() -> None:
    with pytest.raises(ModelError, match="Model 'basin' has no choice of runtimes: leave --runtime onnx out"):
        models.load("basin", 2, runtime="onnx")
    assert models.load("basin", 2, runtime="auto").card.name == "basin"


def test_threads_are_as_many_as_other_libraries_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choosing.threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert choosing.threads() >= 1


# Where exports lie


def put(text: str):
    return lambda folder: (folder / "net.onnx").write_text(text, encoding="utf-8")


def refuse(folder: Path) -> None:
    raise AssertionError("made again")


def test_an_export_is_made_once_beside_the_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = exported(tmp_path / "net.pt", "onnx", "abc 1", put("first"))
    assert place == tmp_path / "net.pt.onnx"
    assert f"Exporting the network to {place}, once" in caplog.text
    assert exported(tmp_path / "net.pt", "onnx", "abc 1", refuse) == place
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt.onnx"]


def test_an_export_of_other_weights_or_code_is_made_again(tmp_path: Path) -> None:
    exported(tmp_path / "net.pt", "onnx", "abc 1", put("first"))
    place = exported(tmp_path / "net.pt", "onnx", "abc 2", put("second"))
    assert (place / "net.onnx").read_text(encoding="utf-8") == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt.onnx"]


@pytest.mark.parametrize("harm", ["cut", "gone", "no record"])
def test_an_export_that_was_damaged_is_made_again(harm: str, tmp_path: Path) -> None:
    place = exported(tmp_path / "net.pt", "onnx", "abc 1", put("first"))
    if harm == "cut":
        (place / "net.onnx").write_text("f", encoding="utf-8")
    else:
        (place / ("net.onnx" if harm == "gone" else "export.json")).unlink()
    exported(tmp_path / "net.pt", "onnx", "abc 1", put("again"))
    assert (place / "net.onnx").read_text(encoding="utf-8") == "again"


def test_where_nothing_can_be_written_it_lies_with_the_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    mkdir = Path.mkdir

    def only_elsewhere(path: Path, *args, **kwargs) -> None:
        if closed in path.parents:
            raise PermissionError(13, "Permission denied")
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", only_elsewhere)
    place = exported(closed / "net.pt", "onnx", "abc 1", put("first"))
    assert place == tmp_path / "cache" / "exports" / "abc.onnx"
    assert exported(closed / "net.pt", "onnx", "abc 1", refuse) == place
    monkeypatch.setenv("PROMPTILE_CACHE", str(closed / "cache"))
    with pytest.raises(ExportError, match=r"can be written neither to .* nor to .*set PROMPTILE_CACHE"):
        exported(closed / "net.pt", "onnx", "abc 1", put("first"))


def test_links_belong_to_those_who_set_them(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"weights")
    os.symlink(tmp_path / "blob", tmp_path / "net.pt")
    assert exported(tmp_path / "net.pt", "onnx", "abc 1", put("x")).parent == tmp_path / "cache" / "exports"


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "net.onnx").write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="No space left on device"):
        exported(tmp_path / "net.pt", "onnx", "abc 1", fail)
    assert not [*tmp_path.iterdir()]


def test_if_nobody_asked_for_the_runtime_torch_takes_over(
    weights, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args, **_kwargs) -> None:
        raise ExportError("the export cannot be made")

    monkeypatch.setattr("promptile.models.sam.running.exported", fail)
    monkeypatch.setattr(choosing, "find_spec", lambda name: name)
    variant, path = SMALL["sam"], weights("sam")
    with caplog.at_level(logging.WARNING):
        assert network_of(variant, path, CPU, "auto", version="1", hq_token_only=False)[1] == "torch"
    assert "Torch computes sam-b, as the export cannot be made" in caplog.text
    with pytest.raises(ExportError):
        network_of(variant, path, CPU, "onnx", version="1", hq_token_only=False)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_that_is_no_network_is_named(runtime: str, tmp_path: Path) -> None:
    pytest.importorskip(RUNTIMES[runtime])
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match=rf"net\.onnx cannot be read by {runtime}"):
        choosing.load_graph(runtime, tmp_path / "net.onnx")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_lengths_that_are_free_are_said_to_be(runtime: str, tmp_path: Path) -> None:
    pytest.importorskip(RUNTIMES[runtime])
    graph = Graph(torch.nn.Linear(4, 2), {"x": torch.zeros(3, 4)}, ("y",), {"x": {0: "n"}, "y": {0: "n"}})
    write_graph(graph, tmp_path / "net.onnx")
    graph = choosing.load_graph(runtime, tmp_path / "net.onnx")
    assert graph.inputs == {"x": Port([None, 4], np.dtype(np.float32))}
    assert graph.outputs == ["y"]
    assert graph.run({"x": np.zeros((7, 4), np.float32)})["y"].shape == (7, 2)
