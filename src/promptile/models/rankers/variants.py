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
    at_once = "16 pictures"

    kind: Kind


_COSTS = {
    "clip-b32": (151_277_313, 605, 0.8, 1.0),
    "clip-l14": (427_616_513, 1711, 15, 2.2),
    "siglip2-base": (375_187_970, 1501, 2.1, 1.3),
}
"""As in `Hosted`, of 16 pictures and two phrases."""


def _clip(name: str, repository: str) -> Variant:
    return Variant(
        name=name,
        family="CLIP",
        kind="clip",
        network="CLIPModel",
        types=("clip",),
        repository=repository,
        licence="MIT",
        costs=_COSTS[name],
        citation="Radford et al.: Learning Transferable Visual Models From Natural Language Supervision. ICML 2021, "
        "arXiv:2103.00020",
        timed=name != "clip-l14",
    )


_SIGLIP2 = Variant(
    name="siglip2-base",
    family="SigLIP 2",
    kind="siglip",
    network="SiglipModel",
    types=("siglip",),
    repository="google/siglip2-base-patch16-224",
    licence="Apache-2.0",
    costs=_COSTS["siglip2-base"],
    citation="Tschannen et al.: SigLIP 2: Multilingual Vision-Language Encoders with Improved Semantic Understanding, "
    "Localization, and Dense Features. 2025, arXiv:2502.14786",
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
