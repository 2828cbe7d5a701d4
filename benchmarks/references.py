"""The SAM family as its authors wrote it, where their packages can be imported: to be measured beside ours.

``segment_anything``, ``segment_anything_hq``, ``mobile_sam`` and ``efficient_sam``. None is a dependency of Promptile;
what they import of timm and torchvision and need not have here is stood in for.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from promptile.models.checkpoints import read_tensors
from promptile.models.sam.variants import Variant

Look = Callable[[Tensor], Any]
Ask = Callable[[Any, Tensor], Tensor]


def reference(variant: Variant, weights: Path) -> tuple[Look, Ask] | None:
    """How its authors' code looks at an image and answers single points ``(n, 2)`` with logits; None if not here.

    Parameters
    ----------
    variant : Variant
    weights : path
        In the authors' layout.
    """
    _stand_in()
    package, name = _source(variant)
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        return None
    efficient = variant.style == "efficient"
    width, heads = variant.encoder.width, variant.encoder.heads
    model = module.build_efficient_sam(width, heads) if efficient else module.sam_model_registry[name]()
    loaded = model.load_state_dict(read_tensors(weights), strict=False)
    if loaded.unexpected_keys or any("head" not in key for key in loaded.missing_keys):  # TinyViT was a classifier once
        raise RuntimeError(f"{weights} does not fit {package}: {loaded}")
    model.eval().requires_grad_(False)
    return model.image_encoder, (_ask_efficient if efficient else _ask)(model)


def _source(variant: Variant) -> tuple[str, str]:
    """The package, and what the model is called there."""
    if variant.style == "efficient":
        return "efficient_sam.efficient_sam", ""
    if variant.name == "mobile-sam":
        return "mobile_sam", "vit_t"
    size = "tiny" if variant.encoder.kind == "tiny" else variant.name[-1]
    return ("segment_anything_hq" if variant.quality else "segment_anything"), f"vit_{size}"


def _ask(model: Any) -> Ask:
    def answer(seen: Any, points: Tensor) -> Tensor:
        image, finer = (seen[0], {"interm_embeddings": seen[1]}) if isinstance(seen, tuple) else (seen, {})
        labels = torch.ones(len(points), 1, dtype=torch.int64)
        sparse, dense = model.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
        logits: Tensor = model.mask_decoder(
            image_embeddings=image,
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            **finer,
            **({"hq_token_only": False} if finer else {}),
        )[0]
        return logits

    return answer


def _ask_efficient(model: Any) -> Ask:
    def answer(seen: Any, points: Tensor) -> Tensor:
        side = model.image_encoder.img_size
        labels = torch.ones(1, len(points), 1)
        logits: Tensor = model.predict_masks(seen, points[None, :, None], labels, True, side, side)[0][0]
        return logits

    return answer


class _DropPath(nn.Module):
    """Drops nothing: networks are not trained here."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        return x


def _stand_in() -> None:
    """Modules for what these packages import and never use here; only where the real ones are missing."""
    held: dict[str, dict[str, Any]] = {
        "timm.models.layers": {
            "DropPath": _DropPath,
            "to_2tuple": lambda x: (x, x),
            "trunc_normal_": nn.init.trunc_normal_,
        },
        "timm.models.registry": {"register_model": lambda function: function},
        "torchvision.ops.boxes": {"batched_nms": None, "box_area": None},
        "torchvision.transforms.functional": {"resize": None, "to_pil_image": None},
    }
    missing = {name for name in ("timm", "torchvision") if importlib.util.find_spec(name) is None}
    for name, content in held.items():
        if name.partition(".")[0] not in missing:
            continue
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
        vars(sys.modules[name]).update(content)
