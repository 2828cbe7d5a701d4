"""The models of this family, and where their weights come from."""

from __future__ import annotations

from dataclasses import dataclass

from promptile.models.published import Facts, Published

_PAGE = "https://github.com/CASIA-IVA-Lab/FastSAM"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One model of the family.

    Parameters
    ----------
    name : str
        What the user types.
    checkpoint : str
        What its authors call the file that the export is made from.
    facts : Facts
    """

    name: str
    checkpoint: str
    facts: Facts

    family = "FastSAM"
    licence = "AGPL-3.0"

    @property
    def file(self) -> str:
        """What the export is called."""
        return self.checkpoint.removesuffix(".pt") + ".onnx"

    @property
    def recipe(self) -> str:
        """The command that makes the export, with the package ultralytics in an environment of its own."""
        return f"yolo export model={self.checkpoint} format=onnx imgsz=1024 opset=17"

    @property
    def published(self) -> Published:
        """What is known of its weights."""
        return Published(
            model=self.name,
            files=(self.file, f"{self.name}.onnx"),
            url=_PAGE,
            licence=self.licence,
            terms=f"{_PAGE}/blob/main/LICENSE",
            name=self.file,
            recipe=self.recipe,
            abilities=("box", "points", "propose"),
            facts=self.facts,
        )


def _variant(size: str, parameters: int, megabytes: int, seconds: float, gigabytes: float) -> Variant:
    facts = Facts(
        family=Variant.family,
        parameters=parameters,
        megabytes=megabytes,
        seconds=seconds,
        gigabytes=gigabytes,
        citation="Zhao et al.: Fast Segment Anything. 2023, arXiv:2306.12156",
        code="Promptile, BSD-3-Clause, and ONNX Runtime, MIT",
    )
    return Variant(name=f"fastsam-{size}", checkpoint=f"FastSAM-{size}.pt", facts=facts)


VARIANTS = {
    variant.name: variant
    for variant in (
        _variant("s", 11_790_483, 47, 0.8, 0.75),
        _variant("x", 71_751_811, 287, 4.4, 1.8),
    )
}
"""By name."""


def published() -> list[Published]:
    """What is known of the weights of the family."""
    return [variant.published for variant in VARIANTS.values()]
