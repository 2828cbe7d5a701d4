"""Files of weights: their tensors, and how those differ from what a network needs, in words."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from promptile.errors import ModelError
from promptile.models.weights import complaint

_UNREADABLE = (
    SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile,
    RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError,
)  # fmt: skip
"""What readers raise for files that were cut off or are something else."""
_WRAPPERS = ("model", "state_dict")
_NAMED = 3
"""So many keys are named in an error."""

Shapes = Mapping[str, Sequence[int]]
"""Shapes of tensors by key."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by key, whatever they are wrapped in; nothing but tensors is ever loaded.

    Raises
    ------
    ModelError
        If it holds anything else, or cannot be read.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except _UNREADABLE as error:
        raise ModelError(f"The weights {path} cannot be read: {complaint(path)}") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(
            f"The weights {path} cannot be read: they are no table of tensors, get them from their authors"
        )
    return dict(content)


def _unpickled(path: Path) -> Any:
    """What torch reads from a file, or from the only file in a ZIP archive, as EfficientSAM-S is published."""
    source: Path | io.BytesIO = path
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read(archive.namelist()[0]))
    return torch.load(source, map_location="cpu", weights_only=True)


def differences(needed: Shapes, found: Shapes) -> list[str]:
    """How a file's content differs from what a network needs, in words; nothing if it fits."""
    other = [
        f"{key} is {_written(found[key])} and not {_written(shape)}"
        for key, shape in needed.items()
        if key in found and tuple(found[key]) != tuple(shape)
    ]
    wrong = {
        "missing": [key for key in needed if key not in found],
        "unknown": sorted(found.keys() - needed.keys()),
        "of another shape": other,
    }
    return [
        f"{len(keys)} {'key is' if len(keys) == 1 else 'keys are'} {what} ({_some(keys)})"
        for what, keys in wrong.items()
        if keys
    ]


def _written(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:_NAMED])
    return shown if len(keys) <= _NAMED else f"{shown}, ..."
