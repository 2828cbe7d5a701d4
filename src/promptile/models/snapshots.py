"""Snapshots: folders that hold a network of `transformers` and its tokenizer. Nothing is downloaded here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers.utils import logging

from promptile.errors import ModelError
from promptile.models.weights import complaint, digest

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_WORDS = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
_SIZES = ("config.json", "preprocessor_config.json")
_UNREADABLE = (SafetensorError, StrictDataclassError, RuntimeError, OSError, ValueError, KeyError, TypeError, EOFError)
"""What `transformers` raises for files that were cut off, changed by hand or are something else."""
_NAMED = 3
"""So many keys are named in an error."""


@dataclass(frozen=True)
class Words:
    """Texts as a network reads them."""

    ids: Tensor
    """``(texts, tokens)``"""
    mask: Tensor
    """``(texts, tokens)``: 1 where a token is no filling."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a folder holds, ready to answer."""

    network: Any
    tokenizer: Any
    sizes: Mapping[str, Any]
    """What ``preprocessor_config.json`` says; empty without it."""
    digest: str
    """SHA-256 of all files that decide an answer."""
    device: torch.device
    _busy: Lock = field(default_factory=Lock)

    def words(self, texts: Sequence[str], length: int, *, fill: bool = True) -> Words:
        """Texts as tokens, filled up to the `length` or, if not `fill`, to the longest.

        Raises
        ------
        ModelError
            If a text has more tokens than `length`.
        """
        with self._busy:  # tokenizers change when they are told how to fill
            found = [self.tokenizer(text)["input_ids"] for text in texts]
            for text, ids in zip(texts, found, strict=True):
                if len(ids) > length:
                    raise ModelError(
                        f"The text {text!r} has {len(ids)} tokens, and the model reads {length}: say it in fewer words"
                    )
            filling = {"padding": "max_length", "max_length": length} if fill else {"padding": True}
            asked = self.tokenizer(list(texts), return_attention_mask=True, return_tensors="pt", **filling)
        return Words(asked["input_ids"].to(self.device), asked["attention_mask"].to(self.device))

    def spans(self, text: str) -> tuple[Tensor, list[tuple[int, int]]]:
        """``(1, tokens)`` of one text, and where in it each token starts and ends; signs of the model have no width."""
        with self._busy:
            found = self.tokenizer(text, return_offsets_mapping=True)
        return torch.tensor([found["input_ids"]], device=self.device), found["offset_mapping"]


def load_snapshot(folder: Path, network: str, kinds: Sequence[str], device: torch.device) -> Snapshot:
    """What a folder holds, on a device.

    Parameters
    ----------
    folder : Path
    network : str
        The class of `transformers`.
    kinds : sequence of str
        What ``model_type`` in ``config.json`` may be.
    device : torch.device

    Raises
    ------
    ModelError
        If a file cannot be read, or the weights are another model's.
    """
    _check_kind(folder, kinds)
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), folder / _WEIGHTS[0])
    if not weights.is_file():
        raise ModelError(f"The folder {folder} lacks {_WEIGHTS[0]}: it needs all files of the model's snapshot")
    with _quiet():
        built = _network(folder, weights, getattr(transformers, network))
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except _UNREADABLE as error:
            raise ModelError(
                f"The tokenizer in {folder} cannot be read ({_line(error)}): get its files again"
            ) from error
    sizes = _read(folder / _SIZES[1]) if (folder / _SIZES[1]).is_file() else {}
    return Snapshot(built.eval().requires_grad_(False).to(device), tokenizer, sizes, _digest(folder, weights), device)


def _network(folder: Path, weights: Path, kind: Any) -> Any:
    """The network with its weights; every parameter is there and nothing is left over."""
    try:
        built, found = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=weights.suffix == ".safetensors",
            ignore_mismatched_sizes=True,  # they are told below
            output_loading_info=True,
            dtype=torch.float32,
        )
    except _UNREADABLE as error:
        why = f"{complaint(weights)}; {_line(error)}"
        raise ModelError(f"The weights {weights} cannot be read: {why}") from error
    wrong = [
        f"{len(found[key])} {'key is' if len(found[key]) == 1 else 'keys are'} {what} ({_some(found[key])})"
        for key, what in _WRONG.items()
        if found.get(key)
    ]
    if wrong:
        raise ModelError(
            f"The weights {weights} do not fit {folder / _SIZES[0]}, {'; '.join(wrong)}: get all files again"
        )
    return built


_WRONG = {"missing_keys": "missing", "unexpected_keys": "unknown", "mismatched_keys": "of another shape"}


def _some(keys: Any) -> str:
    names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in keys)
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _check_kind(folder: Path, kinds: Sequence[str]) -> None:
    found = _read(folder / _SIZES[0]).get("model_type")
    if found not in kinds:
        raise ModelError(
            f"The folder {folder} holds a model of type {found!r} and not {' or '.join(kinds)}: give another"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({_line(error)}): get it again") from error
    return content if isinstance(content, dict) else {}


def _digest(folder: Path, weights: Path) -> str:
    files = [folder / name for name in (*_SIZES, *_WORDS) if (folder / name).is_file()]
    return hashlib.sha256("".join(map(digest, (*files, weights))).encode()).hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and tables of `transformers`: what is wrong is said in one line, by us."""
    told: Any = logging  # typed in part
    shown, level = told.is_progress_bar_enabled(), told.get_verbosity()
    told.disable_progress_bar()
    told.set_verbosity_error()
    try:
        yield
    finally:
        told.set_verbosity(level)
        if shown:
            told.enable_progress_bar()
