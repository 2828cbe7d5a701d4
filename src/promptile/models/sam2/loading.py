"""From a weights file to a network of transformers: every parameter is there and nothing is left over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers import Sam2Config, Sam2Model, Sam3TrackerConfig, Sam3TrackerModel
from transformers.initialization import no_init_weights

from promptile.errors import ModelError
from promptile.models.checkpoints import Shapes, differences, read_tensors
from promptile.models.sam2.layouts import layout_of, whole
from promptile.models.sam2.variants import VARIANTS, Hiera, Variant, Vit


def load_network(variant: Variant, path: Path) -> nn.Module:
    """The network of a variant with the weights of a file, ready to answer, on the CPU.

    Raises
    ------
    ModelError
        If the file cannot be read or holds anything but this variant.
    """
    tensors = whole(read_tensors(path))
    network = bare(variant)
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    wrong = _wrong(network, found)
    if wrong:
        fitting = [v.name for v in VARIANTS.values() if v != variant and not _wrong(bare(v), found)]
        cure = f"they fit --model {' or '.join(fitting)}" if fitting else f"get {variant.file} from {variant.url}"
        raise ModelError(f"The weights {path} do not fit {variant.name}, {'; '.join(wrong)}: {cure}")
    layout = layout_of(tensors)
    ours = {name: tensors[layout.key(name)].float() for name in network.state_dict()}
    network.load_state_dict(ours, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def bare(variant: Variant) -> nn.Module:
    """The network before it has weights; they take no memory yet."""
    encoder = variant.encoder
    with no_init_weights():  # not the meta device: SAM 3 has tables that no file holds, computed as it is built
        if isinstance(encoder, Hiera):
            return Sam2Model(_sam2(variant, encoder))
        return Sam3TrackerModel(_sam3(variant, encoder))


def _wrong(network: nn.Module, found: Shapes) -> list[str]:
    """How a file's content differs from what the network needs, in words."""
    layout = layout_of(found)
    used = layout.used(found)
    needed = {layout.key(name): tuple(value.shape) for name, value in network.state_dict().items()}
    return differences(needed, {key: shape for key, shape in found.items() if key in used})


def _sam2(variant: Variant, hiera: Hiera) -> Sam2Config:
    widths = [hiera.width * 2**i for i in range(4)]
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "image_size": [variant.side, variant.side],
        "hidden_size": hiera.width,
        "num_attention_heads": hiera.heads,
        "blocks_per_stage": list(hiera.stages),
        "embed_dim_per_stage": widths,
        "num_attention_heads_per_stage": [hiera.heads * 2**i for i in range(4)],
        "window_size_per_stage": list(hiera.windows),
        "global_attention_blocks": list(hiera.spread),
        "window_positional_embedding_background_size": [hiera.background, hiera.background],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": widths[::-1],
        "backbone_feature_sizes": _sizes(variant),
    }
    return Sam2Config(vision_config=vision, prompt_encoder_config=_prompts(variant))


def _sam3(variant: Variant, vit: Vit) -> Sam3TrackerConfig:
    backbone = {
        "model_type": "sam3_vit_model",
        "image_size": variant.side,
        "patch_size": vit.patch,
        "hidden_size": vit.width,
        "intermediate_size": vit.inner,
        "num_hidden_layers": vit.depth,
        "num_attention_heads": vit.heads,
        "global_attn_indexes": list(vit.spread),
        "layer_norm_eps": 1e-5,  # as it was trained; 1e-6 is the default of transformers
    }
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "backbone_feature_sizes": _sizes(variant),
    }
    return Sam3TrackerConfig(vision_config=vision, prompt_encoder_config=_prompts(variant))


def _sizes(variant: Variant) -> list[list[int]]:
    """Rows and columns of the three maps that the decoder sees."""
    return [[variant.tokens * scale] * 2 for scale in (4, 2, 1)]


def _prompts(variant: Variant) -> dict[str, Any]:
    return {"image_size": variant.side, "patch_size": variant.encoder.patch}
