"""Golden numbers for the SAM family from the implementations of their authors, with weights by rule.

Run with an interpreter that has segment_anything 1.0, segment_anything_hq 0.3, mobile_sam and efficient_sam (none of
which Promptile needs): ``python tests/make_sam_golden.py``. Writes ``sam_golden.npz`` and ``sam_keys.json.gz``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import efficient_sam.efficient_sam as efficient
import mobile_sam
import numpy as np
import segment_anything
import segment_anything_hq
import torch
from torch import nn

from sam_cases import Asked, picture, questions, weights

HERE = Path(__file__).parent
SMALL = {"depth": 4, "embed_dim": 96, "num_heads": 3, "global_attn_indexes": [1, 3], "img_size": 512}
STRIDE = 16
"""Of the samples that are kept; signs are kept of all logits of the first prompt."""


def small_sam(package: Any, **decoder: Any) -> nn.Module:
    """SAM of a package with a small encoder for images of 512 pixels."""
    modeling = package.modeling
    encoder = modeling.ImageEncoderViT(
        **SMALL,
        mlp_ratio=4,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        window_size=14,
        out_chans=256,
    )
    prompts = modeling.PromptEncoder(
        embed_dim=256, image_embedding_size=(32, 32), input_image_size=(512, 512), mask_in_chans=16
    )
    kind = modeling.MaskDecoderHQ if decoder else modeling.MaskDecoder
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    return modeling.Sam(encoder, prompts, kind(transformer=transformer, transformer_dim=256, **decoder)).eval()


def small_efficient() -> nn.Module:
    """EfficientSAM with a small encoder for images of 512 pixels."""
    model = efficient.build_efficient_sam(encoder_patch_embed_dim=96, encoder_num_heads=3)
    model.image_encoder = efficient.ImageEncoderViT(512, 16, 3, 96, "layer_norm", 3, 3, 4.0, [256, 256], nn.GELU)
    model.prompt_encoder = efficient.PromptEncoder(256, (32, 32), (512, 512))
    return model.eval()


def fill(model: nn.Module) -> nn.Module:
    """The model with weights by rule."""
    state = {k: torch.tensor(weights(k, v.shape), dtype=v.dtype) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def ask_sam(model: nn.Module, features: Any, asked: Asked, *, multimask: bool, **options: Any) -> Any:
    """What SAM's predictor does between the coordinates and the logits."""
    points = (torch.tensor(asked.points), torch.tensor(asked.labels)) if asked.points.shape[1] else None
    boxes, masks = (None if a is None else torch.tensor(a) for a in (asked.boxes, asked.masks))
    sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=masks)
    return model.mask_decoder(
        image_embeddings=features[0],
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        **options,
    )


def ask_efficient(model: nn.Module, features: Any, asked: Asked, *, multimask: bool) -> Any:
    """A box is two points with labels of their own."""
    points, labels = torch.tensor(asked.points)[None], torch.tensor(asked.labels, dtype=torch.float32)[None]
    if asked.boxes is not None:
        points = torch.cat([torch.tensor(asked.boxes).reshape(1, 2, 2, 2), points], dim=2)
        labels = torch.cat([torch.tensor([2.0, 3.0]).expand(1, 2, 2), labels], dim=2)
    side = model.image_encoder.img_size
    masks, iou = model.predict_masks(features[0], points, labels, multimask, side, side)
    return masks[0], iou[0]


def numbers(name: str, model: nn.Module, side: int, ask: Callable[..., Any], **fixed: Any) -> Iterator[tuple[str, Any]]:
    """What a model answers to all forms of prompts it takes, by name."""
    seen = model.image_encoder(torch.tensor(picture(side)))
    features = seen if isinstance(seen, tuple) else (seen,)
    yield f"{name}/embedding", features[0][0, ::STRIDE, ::4, ::4].numpy()
    ways: list[dict[str, Any]] = [fixed]
    if len(features) > 1:
        ways = [{"interm_embeddings": features[1], "hq_token_only": only} for only in (False, True)]
    for form, asked in questions(side).items():
        if "mask" in form and ask is ask_efficient:
            continue
        for multimask in (False, True):
            for way in ways:
                masks, iou = ask(model, features, asked, multimask=multimask, **way)
                only = "/only" if way.get("hq_token_only") else ""
                label = f"{name}/{form}/{'multi' if multimask else 'single'}{only}"
                yield f"{label}/logits", masks[..., ::STRIDE, ::STRIDE].numpy()
                if not only:
                    yield f"{label}/signs", np.packbits(masks[0].numpy() > 0)
                yield f"{label}/iou", iou.numpy()


def published() -> Iterator[tuple[str, nn.Module]]:
    """All models in the size that weights are published for."""
    with torch.device("meta"):
        for size in "blh":
            yield f"sam-{size}", segment_anything.sam_model_registry[f"vit_{size}"]()
            yield f"sam-hq-{size}", segment_anything_hq.sam_model_registry[f"vit_{size}"]()
    yield "light-hq-sam", segment_anything_hq.sam_model_registry["vit_tiny"]()
    yield "mobile-sam", mobile_sam.sam_model_registry["vit_t"]()
    yield "efficient-sam-ti", efficient.build_efficient_sam(192, 3)
    yield "efficient-sam-s", efficient.build_efficient_sam(384, 6)


@torch.inference_mode()
def main() -> None:
    """Write both files."""
    keys = {name: {k: list(v.shape) for k, v in model.state_dict().items()} for name, model in published()}
    (HERE / "sam_keys.json.gz").write_bytes(gzip.compress(json.dumps(keys).encode(), mtime=0))
    made: dict[str, Any] = {}
    made |= numbers("small-sam", fill(small_sam(segment_anything)), 512, ask_sam)
    made |= numbers("small-sam-hq", fill(small_sam(segment_anything_hq, vit_dim=96)), 512, ask_sam)
    made |= numbers("small-efficient-sam", fill(small_efficient()), 512, ask_efficient)
    made |= numbers("mobile-sam", fill(mobile_sam.sam_model_registry["vit_t"]()), 1024, ask_sam)
    made |= numbers("light-hq-sam", fill(segment_anything_hq.sam_model_registry["vit_tiny"]()), 1024, ask_sam)
    np.savez_compressed(HERE / "sam_golden.npz", **made)


if __name__ == "__main__":
    main()
