"""From a weights file to a network: every parameter is there and nothing is left over, or it says what is wrong."""

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
from torch.nn import functional

from promptile.errors import ModelError
from promptile.models.sam.layouts import EFFICIENT, layout_of
from promptile.models.sam.nets.network import Network
from promptile.models.sam.variants import VARIANTS, Variant
from promptile.models.weights import complaint

_UNREADABLE = (
    SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile,
    RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError,
)  # fmt: skip
"""What readers raise for files that were cut off or are something else."""
_WRAPPERS = ("model", "state_dict")
_POSITIONS = "image_encoder.pos_embed"
_NAMED = 3
"""So many keys are named in an error."""


def load_network(variant: Variant, path: Path, *, hq_token_only: bool = False) -> Network:
    """The network of a variant with the weights of a file, ready to answer, on the CPU.

    Raises
    ------
    ModelError
        If the file cannot be read or holds anything but this variant.
    """
    tensors = _read(path)
    network = _bare(variant, hq_token_only=hq_token_only)
    layout = layout_of(tensors)
    if layout is EFFICIENT:
        tensors = _with_positions(tensors, variant)
    wrong = _differences(network, tensors)
    if wrong:
        fitting = [v.name for v in VARIANTS.values() if v != variant and _fits(v, tensors)]
        cure = f"they fit --model {' or '.join(fitting)}" if fitting else f"get {variant.file} from {variant.page}"
        raise ModelError(f"The weights {path} do not fit {variant.name}, {'; '.join(wrong)}: {cure}")
    ours = {
        name: torch.zeros(like.shape) if layout.lacks(name) else tensors[layout.key(name)]
        for name, like in network.state_dict().items()
    }
    ours = {name: value.float() if value.is_floating_point() else value for name, value in ours.items()}
    network.load_state_dict(ours, strict=True, assign=True)
    network.eval().requires_grad_(False).fold()
    return network


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by key, whatever they are wrapped in."""
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


def _bare(variant: Variant, *, hq_token_only: bool = False) -> Network:
    """The network without memory for its parameters."""
    with torch.device("meta"):
        return Network(variant, hq_token_only=hq_token_only)


def _with_positions(tensors: Mapping[str, Tensor], variant: Variant) -> dict[str, Tensor]:
    """EfficientSAM keeps the positions of a smaller image, after one for a class: drawn larger for ours."""
    held = tensors.get(_POSITIONS)
    if held is None or held.ndim != 3:
        return dict(tensors)
    count = held.shape[1] - 1
    side = round(count**0.5)
    small = held[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    tokens = variant.side // 16
    large = functional.interpolate(small, (tokens, tokens), mode="bicubic", align_corners=False)
    return {**tensors, _POSITIONS: large.permute(0, 2, 3, 1)}


def _differences(network: Network, tensors: Mapping[str, Tensor]) -> list[str]:
    """How a file's content differs from what the network needs, in words; nothing if it fits."""
    layout = layout_of(tensors)
    needed = {layout.key(k): v.shape for k, v in network.state_dict().items() if not layout.lacks(k)}
    present = layout.used(tensors)
    other = [
        f"{key} is {_shape(tensors[key])} and not {_shape_of(shape)}"
        for key, shape in needed.items()
        if key in present and tensors[key].shape != shape
    ]
    found = {
        "missing": [key for key in needed if key not in present],
        "unknown": sorted(present - needed.keys()),
        "of another shape": other,
    }
    return [
        f"{len(keys)} {'key is' if len(keys) == 1 else 'keys are'} {what} ({_some(keys)})"
        for what, keys in found.items()
        if keys
    ]


def _fits(variant: Variant, tensors: Mapping[str, Tensor]) -> bool:
    return not _differences(_bare(variant), tensors)


def _shape(tensor: Tensor) -> str:
    return _shape_of(tensor.shape)


def _shape_of(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:_NAMED])
    return shown if len(keys) <= _NAMED else f"{shown}, ..."
