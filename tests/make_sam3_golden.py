"""Golden numbers for the tracker of SAM 3 from the implementation of its authors, with weights by rule.

Run with an interpreter that has their package sam3 (which Promptile does not need): ``python
tests/make_sam3_golden.py``. Writes ``sam3_golden.npz``. A value goes by the name that transformers gives a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sam3.model.necks import Sam3DualViTDetNeck
from sam3.model.vitdet import ViT
from sam3.sam.mask_decoder import MaskDecoder
from sam3.sam.prompt_encoder import PromptEncoder
from sam3.sam.transformer import TwoWayTransformer
from torch import Tensor, nn

from sam_cases import Asked, picture, questions, weights

HERE = Path(__file__).parent
SIDE, TOKENS = 672, 48
"""Four windows of 24 tokens, so that positions are tiled, and angles differ between windows and the whole image."""
STRIDE = 12
RENAMES = (
    (r"^trunk\.pos_embed", "vision_encoder.backbone.embeddings.position_embeddings"),
    (r"^trunk\.patch_embed\.proj\.", "vision_encoder.backbone.embeddings.patch_embeddings.projection."),
    (r"^trunk\.ln_pre\.", "vision_encoder.backbone.layer_norm."),
    (r"^trunk\.blocks\.(\d+)\.", r"vision_encoder.backbone.layers.\1."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"^sam2_convs\.(\d+)\.", r"vision_encoder.neck.fpn_layers.\1."),
    (r"\.dconv_2x2(_0)?\.", ".scale_layers.0."),
    (r"\.dconv_2x2_1\.", ".scale_layers.2."),
    (r"\.conv_1x1\.", ".proj1."),
    (r"\.conv_3x3\.", ".proj2."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.mlp\.lin1\.", ".mlp.proj_in."),
    (r"\.mlp\.lin2\.", ".mlp.proj_out."),
    (r"\.layers\.0\.(weight|bias)$", r".proj_in.\1"),
    (r"\.layers\.1\.(weight|bias)$", r".layers.0.\1"),
    (r"\.layers\.2\.(weight|bias)$", r".proj_out.\1"),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix", ".shared_embedding.positional_embedding"),
)


def value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a parameter of theirs by our names."""
    name = key
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    if ".attn.qkv." in name:
        part = (shape[0] // 3, *shape[1:])
        return np.concatenate([weights(name.replace(".attn.qkv.", f".attention.{n}_proj."), part) for n in "qkv"])
    if kind := re.search(r"\.point_embeddings\.(\d)\.", name):
        table = weights("prompt_encoder.point_embed.weight", (4, shape[1]))
        return table[int(kind[1])][None]
    if name.endswith("position_embeddings"):  # theirs begins with one for a class, which is dropped
        positions = weights(name, (1, shape[1] - 1, shape[2]))
        return np.concatenate([np.zeros_like(positions[:, :1]), positions], axis=1)
    return weights(name, shape)


def fill(model: nn.Module, prefix: str) -> nn.Module:
    """The model with weights by rule; tables of angles are its own."""
    held = model.state_dict()
    state = {k: v if "freqs" in k else torch.tensor(value(prefix + k, tuple(v.shape))) for k, v in held.items()}
    model.load_state_dict(state)
    return model.eval()


def encoder() -> nn.Module:
    trunk = ViT(
        img_size=SIDE, pretrain_img_size=336, patch_size=14, embed_dim=64, depth=2, num_heads=2, mlp_ratio=1.5,
        norm_layer="LayerNorm", use_abs_pos=True, tile_abs_pos=True, global_att_blocks=(1,), rel_pos_blocks=(),
        use_rope=True, use_interp_rope=True, window_size=24, pretrain_use_cls_token=True, retain_cls_token=False,
        ln_pre=True, bias_patch_embed=False,
    )  # fmt: skip
    return Sam3DualViTDetNeck(trunk, lambda x: x, 256, add_sam2_neck=True)


def decoder() -> nn.Module:
    return MaskDecoder(
        transformer_dim=256, transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        use_high_res_features=True, iou_prediction_use_sigmoid=True, pred_obj_scores=True, pred_obj_scores_mlp=True,
        use_multimask_token_for_obj_ptr=True, dynamic_multimask_via_stability=True,
        dynamic_multimask_stability_delta=0.05, dynamic_multimask_stability_thresh=0.98,
    )  # fmt: skip


def look(network: nn.Module, masks: nn.Module) -> list[Tensor]:
    """What its image predictor keeps of an image."""
    maps = network(torch.tensor(picture(SIDE)))[2][:-1]
    token = torch.tensor(weights("no_memory_embedding", (1, 1, 256))).reshape(1, 256, 1, 1)
    return [masks.conv_s0(maps[0]), masks.conv_s1(maps[1]), maps[2] + token]


def told(asked: Asked) -> tuple[Tensor, Tensor]:
    points, labels = torch.tensor(asked.points), torch.tensor(asked.labels)
    if asked.boxes is not None:
        points = torch.cat([torch.tensor(asked.boxes).reshape(2, 2, 2), points], dim=1)
        labels = torch.cat([torch.tensor([[2, 3], [2, 3]]), labels], dim=1)
    return points, labels


def golden() -> Iterator[tuple[str, np.ndarray]]:
    prompts = fill(PromptEncoder(256, (TOKENS, TOKENS), (SIDE, SIDE), 16), "prompt_encoder.")
    masks = fill(decoder(), "mask_decoder.")
    maps = look(fill(encoder(), ""), masks)
    for i, each in enumerate(maps):
        yield f"map{i}", each[0, ::8, ::STRIDE, ::STRIDE].numpy()
    for form in ("point", "points", "box", "box+point"):
        sparse, dense = prompts(points=told(questions(SIDE)[form]), boxes=None, masks=None)
        for kind, multimask in (("single", False), ("multi", True)):
            logits, iou, _, present = masks(
                image_embeddings=maps[-1],
                image_pe=prompts.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                repeat_image=True,
                high_res_features=maps[:-1],
            )
            yield f"{form}/{kind}/logits", logits[..., ::STRIDE, ::STRIDE].numpy()
            yield f"{form}/{kind}/iou", iou.numpy()
            yield f"{form}/{kind}/present", present.numpy()
            yield f"{form}/{kind}/signs", np.packbits(logits[0].numpy() > 0)


@torch.inference_mode()
def main() -> None:
    np.savez_compressed(HERE / "sam3_golden.npz", **dict(golden()))


if __name__ == "__main__":
    main()
