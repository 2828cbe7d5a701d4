"""How files name the parameters: as segment-anything does, and so do we, or in one of two other ways."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """One way to name parameters.

    Parameters
    ----------
    renames : tuple of (pattern, replacement)
        Turn our name of a parameter into the file's, one after the other.
    zero : str
        Pattern of our names for parameters that such files lack because they are zero.
    unused : str
        Pattern of the file's names for what is no part of the model.
    """

    renames: tuple[tuple[str, str], ...] = ()
    zero: str = "(?!)"
    unused: str = "(?!)"

    def key(self, name: str) -> str:
        """The file's name of a parameter."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name

    def lacks(self, name: str) -> bool:
        """Whether such files hold no such parameter, because it is zero."""
        return re.fullmatch(self.zero, name) is not None

    def used(self, keys: Collection[str]) -> set[str]:
        """The keys that are part of the model."""
        return {key for key in keys if not re.fullmatch(self.unused, key)}


OFFICIAL = Layout(unused=r"pixel_(mean|std)|image_encoder\.(norm_head|head)\..*|.*\.attention_bias_idxs")
"""segment-anything and all that follow it; files of TinyViT still hold the head of the classifier it once was."""

EFFICIENT = Layout(
    renames=(
        (r"^image_encoder\.(.*)\.lin([12])\.", r"image_encoder.\1.fc\2."),
        (r"\.not_a_point_embed\.", ".invalid_points."),
        (r"\.point_embeddings\.1\.", ".point_embeddings."),
        (r"\.point_embeddings\.2\.", ".bbox_top_left_embeddings."),
        (r"\.point_embeddings\.3\.", ".bbox_bottom_right_embeddings."),
        (r"\.output_upscaling\.([01])\.", r".final_output_upscaling_layers.0.\1."),
        (r"\.output_upscaling\.3\.", ".final_output_upscaling_layers.1.0."),
        (r"\.layers\.([01])\.(weight|bias)$", r".layers.\1.0.\2"),
        (r"\.layers\.2\.(weight|bias)$", r".fc.\1"),
        (r"\.mlp\.lin1\.", ".mlp.layers.0.0."),
        (r"\.mlp\.lin2\.", ".mlp.fc."),
    ),
    zero=r"prompt_encoder\.(point_embeddings\.0|no_mask_embed)\.weight",
    unused=r"pixel_(mean|std)",
)
"""EfficientSAM, which has no embedding for a point that is not on the object, nor for a mask that is not given."""

HUGGING_FACE = Layout(
    renames=(
        (r"^image_encoder\.", "vision_encoder."),
        (r"\.blocks\.", ".layers."),
        (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
        (r"\.neck\.0\.", ".neck.conv1."),
        (r"\.neck\.1\.", ".neck.layer_norm1."),
        (r"\.neck\.2\.", ".neck.conv2."),
        (r"\.neck\.3\.", ".neck.layer_norm2."),
        (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
        (
            r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix",
            "shared_image_embedding.positional_embedding",
        ),
        (r"\.point_embeddings\.", ".point_embed."),
        (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
        (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
        (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
        (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
        (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
        (r"\.output_upscaling\.0\.", ".upscale_conv1."),
        (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
        (r"\.output_upscaling\.3\.", ".upscale_conv2."),
        (r"\.layers\.0\.(weight|bias)$", r".proj_in.\1"),
        (r"\.layers\.1\.(weight|bias)$", r".layers.0.\1"),
        (r"\.layers\.2\.(weight|bias)$", r".proj_out.\1"),
        (r"\.hf_token\.", ".hq_token."),
        (r"\.hf_mlp\.", ".hq_mask_mlp."),
        (r"\.compress_vit_feat\.", ".compress_vit."),
        (r"\.embedding_encoder\.", ".encoder."),
        (r"\.embedding_maskfeature\.", ".mask."),
        (r"\.(compress_vit|encoder|mask)\.0\.", r".\1_conv1."),
        (r"\.(compress_vit|encoder|mask)\.1\.", r".\1_norm."),
        (r"\.(compress_vit|encoder|mask)\.3\.", r".\1_conv2."),
    ),
    unused=r"prompt_encoder\.shared_embedding\..*",
)
"""`transformers`; the frequencies are there twice, or once if the file was written without copies."""


def layout_of(keys: Collection[str]) -> Layout:
    """The layout of a file by its keys; the official one if in doubt."""
    if any(key.startswith("vision_encoder.") for key in keys):
        return HUGGING_FACE
    return EFFICIENT if "prompt_encoder.invalid_points.weight" in keys else OFFICIAL
