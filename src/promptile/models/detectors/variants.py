"""The detectors: what they are called, where their snapshots are, what they must be sure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from promptile.models.hosted import HUB, Hosted
from promptile.models.protocols import Thresholds
from promptile.models.published import Published

Kind = Literal["grounding", "owl", "concepts"]


@dataclass(frozen=True, kw_only=True)
class Variant(Hosted):
    """One detector.

    Parameters
    ----------
    kind : Kind
        How it is asked.
    thresholds : Thresholds
        Its own defaults.
    side : int
        Of the windows that it sees best, in samples.
    others
        See `Hosted`.
    """

    ability = "text"

    kind: Kind
    thresholds: Thresholds
    side: int


_COSTS = {
    "grounding-dino-tiny": (172_250_626, 689, 12, 2.0),
    "grounding-dino-base": (232_315_264, 933, 16, 2.3),
    "mm-grounding-dino-tiny": (172_250_628, 689, 12, 2.0),
    "owlv2-base": (154_966_792, 620, 7.8, 1.2),
    "owlv2-large": (437_610_760, 1751, 42, 2.5),
    "sam3": (840_376_374, 3440, 60, 4.2),
}
"""As in `Hosted`, of windows of the model's own size and three phrases; the file of SAM 3 holds its tracker as well."""
_CITATIONS = {
    "Grounding DINO": "Liu et al.: Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object "
    "Detection. ECCV 2024, arXiv:2303.05499",
    "MM-Grounding DINO": "Zhao et al.: An Open and Comprehensive Pipeline for Unified Object Grounding and Detection. "
    "2024, arXiv:2401.02361",
    "OWLv2": "Minderer et al.: Scaling Open-Vocabulary Object Detection. NeurIPS 2023, arXiv:2306.09683",
    "SAM 3": "Carion et al.: SAM 3: Segment Anything with Concepts. 2025, arXiv:2511.16719",
}
_LANG_SAM = Thresholds(box=0.3, text=0.25)


def _grounding(name: str, repository: str) -> Variant:
    mm = name.startswith("mm-")
    family = "MM-Grounding DINO" if mm else "Grounding DINO"
    return Variant(
        name=name,
        family=family,
        kind="grounding",
        network=f"{'MM' if mm else ''}GroundingDinoForObjectDetection",
        types=("mm-grounding-dino" if mm else "grounding-dino",),
        repository=repository,
        thresholds=_LANG_SAM,
        side=800,
        costs=_COSTS[name],
        citation=_CITATIONS[family],
    )


def _owl(name: str, repository: str, side: int) -> Variant:
    return Variant(
        name=name,
        family="OWLv2",
        kind="owl",
        network="Owlv2ForObjectDetection",
        types=("owlv2",),
        repository=repository,
        thresholds=Thresholds(box=0.1, text=0.0),
        side=side,
        costs=_COSTS[name],
        citation=_CITATIONS["OWLv2"],
    )


_SAM3 = Variant(
    name="sam3",
    family="SAM 3",
    kind="concepts",
    network="Sam3Model",
    types=("sam3", "sam3_video"),
    repository="facebook/sam3",
    thresholds=Thresholds(box=0.3, text=0.0),
    side=1008,
    licence="SAM License",
    terms=f"{HUB}/facebook/sam3/blob/main/LICENSE",
    costs=_COSTS["sam3"],
    citation=_CITATIONS["SAM 3"],
)

VARIANTS = {
    variant.name: variant
    for variant in (
        _grounding("grounding-dino-tiny", "IDEA-Research/grounding-dino-tiny"),
        _grounding("grounding-dino-base", "IDEA-Research/grounding-dino-base"),
        _grounding("mm-grounding-dino-tiny", "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det"),
        _owl("owlv2-base", "google/owlv2-base-patch16-ensemble", 960),
        _owl("owlv2-large", "google/owlv2-large-patch14-ensemble", 1008),
        _SAM3,
    )
}
"""By name."""


def published() -> list[Published]:
    """Where the weights are; those of SAM 3 are given only to those whom its authors let in."""
    return [variant.published for variant in VARIANTS.values()]
