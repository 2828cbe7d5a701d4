"""The rankers: what they are called and where their snapshots are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from promptile.models.hosted import Hosted
from promptile.models.published import Published

Kind = Literal["clip", "siglip"]


@dataclass(frozen=True, kw_only=True)
class Variant(Hosted):
    """One ranker.

    Parameters
    ----------
    kind : Kind
        How it is asked.
    others
        See `Hosted`.
    """

    ability = "rank"

    kind: Kind


def _clip(name: str, repository: str) -> Variant:
    return Variant(
        name=name,
        family="CLIP",
        kind="clip",
        network="CLIPModel",
        types=("clip",),
        repository=repository,
        licence="MIT",
    )


_SIGLIP2 = Variant(
    name="siglip2-base",
    family="SigLIP 2",
    kind="siglip",
    network="SiglipModel",
    types=("siglip",),
    repository="google/siglip2-base-patch16-224",
    licence="Apache-2.0",
)

VARIANTS = {
    variant.name: variant
    for variant in (
        _clip("clip-b32", "openai/clip-vit-base-patch32"),
        _clip("clip-l14", "openai/clip-vit-large-patch14"),
        _SIGLIP2,
    )
}
"""By name."""


def published() -> list[Published]:
    """Where the weights are."""
    return [variant.published for variant in VARIANTS.values()]
