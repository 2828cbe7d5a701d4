"""From a weights file to a network: every parameter is there and nothing is left over, or it says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from promptile.errors import ModelError
from promptile.models.checkpoints import differences, read_tensors
from promptile.models.sam.layouts import EFFICIENT, layout_of
from promptile.models.sam.nets.network import Network
from promptile.models.sam.variants import VARIANTS, Variant

_POSITIONS = "image_encoder.pos_embed"


def load_network(variant: Variant, path: Path, *, hq_token_only: bool = False) -> Network:
    """The network of a variant with the weights of a file, ready to answer, on the CPU.

    Raises
    ------
    ModelError
        If the file cannot be read or holds anything but this variant.
    """
    tensors = read_tensors(path)
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
    return differences(needed, {key: tensors[key].shape for key in layout.used(tensors)})


def _fits(variant: Variant, tensors: Mapping[str, Tensor]) -> bool:
    return not _differences(_bare(variant), tensors)
