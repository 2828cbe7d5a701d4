"""Small models of SAM 2 and SAM 3 with weights by rule, as files in each layout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from promptile.models.sam2.layouts import OFFICIAL, Layout
from promptile.models.sam2.loading import bare
from promptile.models.sam2.variants import VARIANTS, Hiera, Vit
from sam_cases import weights

HERE = Path(__file__).parent
KEYS: dict[str, dict[str, list[int]]] = json.loads(gzip.decompress((HERE / "sam2_keys.json.gz").read_bytes()))
"""Key and shape of every parameter in the authors' own models of SAM 2."""
GOLDEN, GOLDEN_3 = (np.load(HERE / f"sam{version}_golden.npz") for version in (2, 3))

SMALL = replace(
    VARIANTS["sam2.1-tiny"],
    side=256,
    encoder=Hiera(width=32, stages=(1, 1, 3, 1), spread=(3,)),
)
"""What the golden numbers were made with."""
SMALL_3 = replace(
    VARIANTS["sam3-tracker"], side=336, encoder=Vit(width=64, inner=96, depth=2, heads=2, spread=(1,)), licence="MIT"
)

WHOLE = Layout(
    renames=(
        (r"^(?!vision_encoder\.)", "tracker_model."),
        (r"^vision_encoder\.backbone\.", "detector_model.vision_encoder.backbone."),
        (r"^vision_encoder\.neck\.", "tracker_neck."),
    )
)
"""The tracker in a file of all of SAM 3."""


def official() -> dict[str, Tensor]:
    """What the authors' file of the small model holds, the parts for videos too."""
    return {key: torch.tensor(weights(key, shape)) for key, shape in KEYS["small"].items()}


@lru_cache
def ours(three: bool = False) -> dict[str, Tensor]:
    """The values of each of our parameters; for SAM 2 those of the authors' file."""
    held = {}
    for name, like in bare(SMALL_3 if three else SMALL).state_dict().items():
        key, shape = (name if three else OFFICIAL.key(name)), tuple(like.shape)
        if name == "prompt_encoder.point_embed.weight" and not three:
            kinds = [weights(f"sam_prompt_encoder.point_embeddings.{i}.weight", (1, 256)) for i in range(4)]
            held[name] = torch.tensor(np.concatenate(kinds))
        else:
            held[name] = torch.tensor(weights(key.replace("shared_image", "shared"), shape))
    held["shared_image_embedding.positional_embedding"] = held["prompt_encoder.shared_embedding.positional_embedding"]
    return held


def laid_out(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Under a file's names; each tensor has memory of its own, as safetensors wants."""
    return {layout.key(name): value.clone() for name, value in tensors.items()}
