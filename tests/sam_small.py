"""Small and full models of the SAM family with weights by rule, as files in the layouts of their authors."""

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

from promptile.models.sam.layouts import EFFICIENT, HUGGING_FACE, OFFICIAL, Layout
from promptile.models.sam.nets.network import Network
from promptile.models.sam.variants import VARIANTS, Encoder, Variant
from sam_cases import weights

HERE = Path(__file__).parent
KEYS: dict[str, dict[str, list[int]]] = json.loads(gzip.decompress((HERE / "sam_keys.json.gz").read_bytes()))
"""Key and shape of every parameter in the authors' own models."""
GOLDEN = np.load(HERE / "sam_golden.npz")

_VIT = Encoder(kind="vit", width=96, depth=4, heads=3, spread=(1, 3), early=96)
MADE = {
    "small-sam": replace(VARIANTS["sam-b"], side=512, encoder=_VIT),
    "small-sam-hq": replace(VARIANTS["sam-hq-b"], side=512, encoder=_VIT),
    "small-efficient-sam": replace(
        VARIANTS["efficient-sam-ti"], side=512, encoder=Encoder(kind="vit", width=96, depth=3, heads=3)
    ),
    "mobile-sam": VARIANTS["mobile-sam"],
    "light-hq-sam": VARIANTS["light-hq-sam"],
}
"""What the golden numbers were made with."""


def bare(variant: Variant) -> Network:
    """A network without memory for its parameters."""
    with torch.device("meta"):
        return Network(variant)


@lru_cache(maxsize=2000)
def value_of(key: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.tensor(weights(key, shape), dtype=dtype)


def state(variant: Variant, layout: Layout | None = None) -> dict[str, Tensor]:
    """What a file of a variant holds; the official layout's values, whatever the keys."""
    official = EFFICIENT if variant.style == "efficient" else OFFICIAL
    held = {}
    for name, like in bare(variant).state_dict().items():
        if official.lacks(name):
            continue
        shape = tuple(like.shape)
        if official is EFFICIENT and name.endswith("pos_embed"):
            shape = (1, 14 * 14 + 1, shape[-1])
        held[(layout or official).key(name)] = value_of(official.key(name), shape, like.dtype)
    return held


def hugging_face(variant: Variant) -> dict[str, Tensor]:
    """The same in the layout of transformers, with the frequencies a second time."""
    held = state(variant, HUGGING_FACE)
    frequencies = held["shared_image_embedding.positional_embedding"]
    return {**held, "prompt_encoder.shared_embedding.positional_embedding": frequencies.clone()}


def write(path: Path, tensors: Mapping[str, Tensor], *, wrapped: bool = False) -> Path:
    """A file as torch writes it."""
    torch.save({"model": dict(tensors)} if wrapped else dict(tensors), path)
    return path
