"""The rankers: what they are called and where their snapshots are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from promptile.models.published import SNAPSHOT, Published

HUB = "https://huggingface.co"

Kind = Literal["clip", "siglip"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One ranker.

    Parameters
    ----------
    name : str
        What the user types.
    family : str
    kind : Kind
        How it is asked.
    network : str
        Its class in `transformers`.
    types : tuple of str
        What its snapshot says that it is.
    repository : str
        Where its authors publish it at Hugging Face.
    licence : str
        Of the weights.
    """

    name: str
    family: str
    kind: Kind
    network: str
    types: tuple[str, ...]
    repository: str
    licence: str

    @property
    def published(self) -> Published:
        return Published(
            model=self.name,
            files=(self.name,),
            url=f"{HUB}/{self.repository}",
            name=self.name,
            repository=self.repository,
            parts=SNAPSHOT,
            licence=self.licence,
            abilities=("rank",),
        )


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
