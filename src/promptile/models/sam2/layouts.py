"""How files name the parameters: as transformers does, and so do we, or as the authors of SAM 2."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_FREQUENCIES = ("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding")
"""The same table under two names."""
_TRACKER = (
    (r"^tracker_model\.", ""),
    (r"^detector_model\.vision_encoder\.backbone\.", "vision_encoder.backbone."),
    (r"^tracker_neck\.", "vision_encoder.neck."),
)
"""In all of SAM 3 the tracker shares the encoder of the detector, and has its own neck."""
_KIND = "sam_prompt_encoder.point_embeddings{}.weight"
"""Tables of what a point is."""


@dataclass(frozen=True)
class Layout:
    """One way to name parameters.

    Parameters
    ----------
    renames : tuple of (pattern, replacement)
        Turn our name of a parameter into the file's, one after the other.
    unused : str
        Pattern of the file's names for what serves videos or texts only.
    """

    renames: tuple[tuple[str, str], ...] = ()
    unused: str = "(?!)"

    def key(self, name: str) -> str:
        """The file's name of a parameter."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name

    def used(self, keys: Collection[str]) -> set[str]:
        """The keys that are part of the model."""
        return {key for key in keys if not re.fullmatch(self.unused, key)}


PLAIN = Layout(
    unused=(
        r"(memory_(attention|encoder|temporal_positional_encoding)|mask_downsample|object_pointer_proj"
        r"|temporal_positional_encoding_projection_layer|no_memory_positional_encoding|no_object_pointer"
        r"|occlusion_spatial_embedding_parameter|detector_model)(\..*)?"
    )
)
"""`transformers`: an image model, or one for videos or texts of which we take the part that looks at images."""

OFFICIAL = Layout(
    renames=(
        (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
        (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
        (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
        (r"^no_memory_embedding", "no_mem_embed"),
        (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
        (
            r"^sam_prompt_encoder\.shared_embedding\.positional_embedding",
            "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        ),
        (
            r"^shared_image_embedding\.positional_embedding",
            "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        ),
        (r"\.point_embed\.", ".point_embeddings."),
        (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
        (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
        (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
        (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
        (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
        (r"\.upscale_conv1\.", ".output_upscaling.0."),
        (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
        (r"\.upscale_conv2\.", ".output_upscaling.3."),
        (r"\.layers\.0\.(weight|bias)$", r".layers.1.\1"),
        (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
        (r"\.proj_in\.", ".layers.0."),
        (r"\.proj_out\.", ".layers.2."),
        (r"\.o_proj\.", ".out_proj."),
        (r"\.layer_norm(\d|_final_attn)\.", r".norm\1."),
    ),
    unused=(
        r"(memory_attention|memory_encoder|maskmem_tpos_enc|mask_downsample|obj_ptr_proj|obj_ptr_tpos_proj"
        r"|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial)(\..*)?"
    ),
)
"""The files that the authors of SAM 2 publish; points have a table each, see `whole`."""

PLAIN_MEMORY = Layout()
"""All of the network for videos, as `transformers` names it."""

OFFICIAL_MEMORY = Layout(
    renames=(
        (r"^memory_temporal_positional_encoding", "maskmem_tpos_enc"),
        (r"^no_memory_positional_encoding", "no_mem_pos_enc"),
        (r"^no_object_pointer", "no_obj_ptr"),
        (r"^occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"),
        (r"^object_pointer_proj\.", "obj_ptr_proj."),
        (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
        (r"^memory_attention\.layer_norm\.", "memory_attention.norm."),
        *(
            (rf"\.mask_downsampler\.layers\.{i}\.{part}\.", f".mask_downsampler.encoder.{3 * i + place}.")
            for i in range(4)
            for place, part in enumerate(("conv", "layer_norm"))
        ),
        (r"\.mask_downsampler\.final_conv\.", ".mask_downsampler.encoder.12."),
        (r"^memory_encoder\.feature_projection\.", "memory_encoder.pix_feat_proj."),
        (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
        (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
        (r"\.depthwise_conv\.", ".dwconv."),
        (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
        (r"(\.fuser\.layers\.\d+)\.layer_norm\.", r"\1.norm."),
        (r"(\.fuser\.layers\.\d+)\.scale$", r"\1.gamma"),
        *OFFICIAL.renames,
    )
)
"""The same in the files of the authors."""


def layout_of(keys: Collection[str]) -> Layout:
    """The layout of a file by its keys; that of transformers if in doubt."""
    return OFFICIAL if any(key.startswith("image_encoder.trunk.") for key in keys) else PLAIN


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors with one table of all kinds of points, the frequencies twice, and the tracker found in SAM 3."""
    held = dict(tensors)
    for pattern, replacement in _TRACKER:
        held = {re.sub(pattern, replacement, key): value for key, value in held.items()}
    kinds = [_KIND.format(f".{i}") for i in range(4)]
    if all(kind in held for kind in kinds):
        held[_KIND.format("")] = torch.cat([held.pop(kind) for kind in kinds])
    one, other = _FREQUENCIES
    if (one in held) != (other in held):
        held[one] = held[other] = held[one if one in held else other]
    return held
