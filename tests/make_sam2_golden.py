"""Golden numbers for SAM 2 from the implementation of its authors, with weights by rule.

Run with an interpreter that has their package sam2 1.1 (which Promptile does not need): ``python
tests/make_sam2_golden.py``. Writes ``sam2_golden.npz`` and ``sam2_keys.json.gz``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.build_sam import build_sam2
from torch import nn

from sam_cases import Asked, picture, questions, weights

HERE = Path(__file__).parent
SIDE = 256
SMALL = [
    f"++model.image_size={SIDE}",
    "++model.image_encoder.trunk.embed_dim=32",
    "++model.image_encoder.trunk.stages=[1,1,3,1]",
    "++model.image_encoder.trunk.global_att_blocks=[3]",
    "++model.image_encoder.neck.backbone_channel_list=[256,128,64,32]",
]
"""A small encoder for images of 256 pixels; all else is as it is."""
STRIDE = 8
"""Of the samples that are kept; signs are kept of all logits of the first prompt."""


def build(version: str, size: str, overrides: list[str] | None = None) -> nn.Module:
    config = f"configs/sam{version}/sam{version}_hiera_{size}.yaml"
    return build_sam2(config, None, device="cpu", hydra_overrides_extra=overrides or [])


def fill(model: nn.Module) -> nn.Module:
    """The model with weights by rule."""
    state = {k: torch.tensor(weights(k, v.shape), dtype=v.dtype) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def look(model: nn.Module) -> list[torch.Tensor]:
    """What its image predictor keeps of an image."""
    seen = model.forward_image(torch.tensor(picture(SIDE)))
    _, maps, _, sizes = model._prepare_backbone_features(seen)
    maps[-1] = maps[-1] + model.no_mem_embed
    return [each.permute(1, 2, 0).view(1, -1, *size) for each, size in zip(maps, sizes, strict=True)]


def ask(model: nn.Module, maps: list[torch.Tensor], asked: Asked, *, multimask: bool) -> Any:
    """What its image predictor does between the coordinates and the logits."""
    points, labels = torch.tensor(asked.points), torch.tensor(asked.labels)
    if asked.boxes is not None:
        points = torch.cat([torch.tensor(asked.boxes).reshape(2, 2, 2), points], dim=1)
        labels = torch.cat([torch.tensor([[2, 3], [2, 3]]), labels], dim=1)
    if not points.shape[1]:  # as it was trained: a mask alone comes with a point that is none
        points, labels = torch.zeros(2, 1, 2), torch.full((2, 1), -1)
    masks = None if asked.masks is None else torch.tensor(asked.masks)
    sparse, dense = model.sam_prompt_encoder(points=(points, labels), boxes=None, masks=masks)
    logits, iou, _, present = model.sam_mask_decoder(
        image_embeddings=maps[-1],
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        repeat_image=True,
        high_res_features=maps[:-1],
    )
    return logits, iou, present


def golden(model: nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    maps = look(model)
    for i, each in enumerate(maps):
        yield f"map{i}", each[0, ::STRIDE, ::4, ::4].numpy()
    for form, asked in questions(SIDE).items():
        for kind, multimask in (("single", False), ("multi", True)):
            logits, iou, present = ask(model, maps, asked, multimask=multimask)
            label = f"{form}/{kind}"
            yield f"{label}/logits", logits[..., ::STRIDE, ::STRIDE].numpy()
            yield f"{label}/iou", iou.numpy()
            yield f"{label}/present", present.numpy()
            yield f"{label}/signs", np.packbits(logits[0].numpy() > 0)


def shapes(model: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in model.state_dict().items()}


@torch.inference_mode()
def main() -> None:
    np.savez_compressed(HERE / "sam2_golden.npz", **dict(golden(fill(build("2.1", "t", SMALL)))))
    sizes = {"t": "tiny", "s": "small", "b+": "base-plus", "l": "large"}
    keys = {f"sam{v}-{name}": shapes(build(v, size)) for v in ("2", "2.1") for size, name in sizes.items()}
    keys["small"] = shapes(build("2.1", "t", SMALL))
    (HERE / "sam2_keys.json.gz").write_bytes(gzip.compress(json.dumps(keys).encode(), mtime=0))


if __name__ == "__main__":
    main()
