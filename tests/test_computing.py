"""Precision and memory: half of the digits where that is fast, half of the work at a time where memory runs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")

import torch
from torch import Tensor

from promptile.errors import ModelError
from promptile.models import computing
from promptile.models.computing import Batches, Precision
from promptile.models.protocols import View, WindowPrompt
from promptile.models.sam.model import Sam
from promptile.models.sam.nets.network import Features, Network, Questions
from promptile.models.sam.variants import Variant
from sam_small import MADE, value_of

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps")


class Narrow:
    """Memory for so many things at a time."""

    def __init__(self, most: int, error: Exception | None = None) -> None:
        self.most = most
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore of that")
        self.tried: list[int] = []

    def __call__(self, things: Sequence[int]) -> list[int]:
        self.tried.append(len(things))
        if len(things) > self.most:
            raise self.error
        return [10 * thing for thing in things]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_when_memory_runs_out_half_as_many_are_computed_at_a_time(error: Exception) -> None:
    narrow, batches = Narrow(3, error), Batches("sam-b", CPU, 8)
    assert batches.each(range(10), narrow) == list(range(0, 100, 10))
    assert narrow.tried == [8, 4, 2, 2, 2, 2, 2]
    assert batches.each([7, 8, 9], narrow) == [70, 80, 90]  # not tried in vain again
    assert narrow.tried[7:] == [2, 1]


def test_a_batch_that_was_not_full_counts_as_what_it_was() -> None:
    narrow, batches = Narrow(2), Batches("sam-b", CPU, 64)
    assert batches.each(range(5), narrow) == [0, 10, 20, 30, 40]
    assert narrow.tried == [5, 2, 2, 1]


def test_what_does_not_fit_alone_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"'sam-h' needs more memory .* use --device cpu") as caught:
        Batches("sam-h", CPU, 4).each([1, 2], Narrow(0))
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        Batches("sam-b", CPU, 4).each([1], Narrow(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


def gpu_with(monkeypatch: pytest.MonkeyPatch, *, bf16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)


def test_a_gpu_looks_with_half_of_the_digits_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "_fast_bf16", lambda: True)
    assert [Precision("auto", device).name for device in (CPU, MPS)] == ["fp32", "fp32"]
    for bf16, name in ((True, "bf16"), (False, "fp16")):
        gpu_with(monkeypatch, bf16=bf16)
        assert Precision("auto", CUDA).name == name
        assert Precision("auto", CUDA).mark == f" {name}"
        assert not Precision("fp32", CUDA).mark
    assert Precision("fp16", MPS).name == "fp16"
    assert Precision("bf16", CPU).name == "bf16"


def test_a_precision_that_would_be_slow_or_is_unknown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "_fast_bf16", lambda: False)
    gpu_with(monkeypatch, bf16=False)
    for wish, device in (("bf16", CPU), ("fp16", CPU), ("bf16", CUDA), ("bf16", MPS)):
        with pytest.raises(ModelError, match="use fp32"):
            Precision(wish, device)
    with pytest.raises(ModelError, match="use auto, fp32, bf16, fp16"):
        Precision("fp8", CPU)


def view(shape: tuple[int, int]) -> View:
    samples = np.random.default_rng(3).uniform(0, 1, (3, *shape)).astype(np.float32)
    return View(samples, np.ones(shape, bool), (1.0, 1.0))


def filled(variant: Variant) -> Network:
    network = Network(variant).eval().requires_grad_(False)
    network.load_state_dict({k: value_of(k, tuple(v.shape), v.dtype) for k, v in network.state_dict().items()})
    network.fold()
    return network


@pytest.mark.parametrize("name", ["small-sam-hq", "mobile-sam"])
def test_half_of_the_digits_look_nearly_the_same_and_have_a_digest_of_their_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "_fast_bf16", lambda: True)
    variant = replace(MADE[name], side=256)
    network = filled(variant)
    full, half = (Sam(variant, network, CPU, "none", precision) for precision in ("fp32", "bf16"))
    assert half.card.digest == f"{full.card.digest} bf16"
    shown = view((300, 400))
    one, other = (model.embed([shown])[0].content.features for model in (full, half))
    assert {one.image.dtype, other.image.dtype} == {torch.float32}
    assert not torch.equal(one.image, other.image)
    torch.testing.assert_close(other.image, one.image, rtol=0, atol=0.15)  # of unit deviation
    assert (other.fine is None) == (name == "mobile-sam")
    assert other.prepared.keys.dtype == torch.float32


def test_half_of_the_digits_are_for_torch_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(computing, "_fast_bf16", lambda: True)
    weights = tmp_path / "mobile_sam.pt"
    weights.write_bytes(b"nothing is read of it")
    with pytest.raises(ModelError, match="'bf16' is for torch: leave runtime 'onnx' out"):
        Sam.load(MADE["mobile-sam"], weights, "cpu", precision="bf16", runtime="onnx")


class Poor:
    """A network with memory for two windows and three prompts."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.asked: list[int] = []

    def embed(self, images: Tensor) -> Features:
        self.seen.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return Features(images[:, :1, ::4, ::4])

    def prepare(self, features: Features) -> Features:
        return features

    def decode(
        self, features: Features, questions: Questions, *, ambiguous: bool, least: float | None = None
    ) -> tuple[Tensor, Tensor]:
        self.asked.append(len(questions.labels))
        if len(questions.labels) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return features.image.expand(len(questions.labels), 3, -1, -1), questions.points[:, 0, :1].expand(-1, 3) / 4096


def test_a_model_looks_and_answers_in_smaller_batches_when_memory_runs_out() -> None:
    poor: Any = Poor()
    model = Sam(MADE["mobile-sam"], poor, CPU, "none")
    model._seeing.size, model._asking.size = 4, 16
    embeddings = model.embed([view((30, 40 + i)) for i in range(5)])
    assert [embedding.content.frame.shape[1] for embedding in embeddings] == [40, 41, 42, 43, 44]
    assert poor.seen == [4, 2, 2, 1]
    prompts = [WindowPrompt(np.array([[1.0, x]]), np.ones(1, bool)) for x in range(7)]
    scores = [masks.scores[0] for masks in model.predict_batch(embeddings[0], prompts)]
    assert scores == sorted(scores)
    assert len(set(scores)) == 7
    assert poor.asked == [7, 3, 3, 1]
