"""Files that hold no network of the family: each is refused in one line that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")

import torch
from safetensors.torch import save_file

from promptile.errors import ModelError
from promptile.models.sam.loading import load_network
from sam_small import MADE, state, write

SMALL = replace(MADE["small-sam"], side=256)


class Attack:
    """What a file could run if it were read without care."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, ("raise SystemExit",)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_network(SMALL, path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    whole = write(tmp_path / "sam.pth", state(SMALL)).read_bytes()
    for part in (0.001, 0.5, 0.99):
        (tmp_path / "sam.pth").write_bytes(whole[: int(part * len(whole))])
        assert "its end is missing" in refused(tmp_path / "sam.pth")


def test_safetensors_that_were_cut_off(tmp_path: Path) -> None:
    save_file(state(SMALL), tmp_path / "sam.safetensors")
    whole = (tmp_path / "sam.safetensors").read_bytes()
    for size in (3, 500, len(whole) - 1):
        (tmp_path / "sam.safetensors").write_bytes(whole[:size])
        assert "download it again" in refused(tmp_path / "sam.safetensors")


def test_a_file_that_would_run_something(tmp_path: Path) -> None:
    torch.save({"model": Attack()}, tmp_path / "sam.pth")
    assert "more than tensors, which is not loaded for safety" in refused(tmp_path / "sam.pth")


@pytest.mark.parametrize("content", [[torch.zeros(3)], {"a": 1}, {"model": {"a": "text"}}, 5])
def test_a_file_with_something_else(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "sam.pth")
    assert "they are no table of tensors" in refused(tmp_path / "sam.pth")


def test_files_that_are_no_weights_at_all(tmp_path: Path) -> None:
    for content, said in (
        (b"", "empty"),
        (b"<html>", "web page"),
        (b"version https://git-lfs", "git lfs pull"),
        (b"x", ""),
    ):
        (tmp_path / "sam.pth").write_bytes(content)
        assert said in refused(tmp_path / "sam.pth")
    (tmp_path / "sam.pt.zip").write_bytes(b"PK\x03\x04")
    assert "its end is missing" in refused(tmp_path / "sam.pt.zip")


def test_a_file_of_a_part_names_what_is_missing_and_where_to_get_it(tmp_path: Path) -> None:
    tensors = {key: value for key, value in state(SMALL).items() if not key.startswith("mask_decoder.")}
    said = refused(write(tmp_path / "sam.pth", tensors))
    assert "keys are missing (mask_decoder.transformer.layers.0.self_attn.q_proj.weight, " in said
    assert "get sam_vit_b_01ec64.pth from https://" in said


def test_keys_of_transformers_are_named_as_in_the_file(tmp_path: Path) -> None:
    save_file({"vision_encoder.pos_embed": torch.zeros(1, 16, 16, 96)}, tmp_path / "model.safetensors")
    assert "vision_encoder.patch_embed.projection.weight" in refused(tmp_path / "model.safetensors")
