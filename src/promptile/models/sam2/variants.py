"""The models of this family: how they are built, what their weights files are called, and where those are."""

from __future__ import annotations

from dataclasses import dataclass

from promptile.models.hosted import CODE
from promptile.models.published import Facts, Published

_FILES = "https://dl.fbaipublicfiles.com/segment_anything_2"
_SAM3 = "https://huggingface.co/facebook/sam3"
_SNAPSHOT = "model.safetensors"
"""What Hugging Face calls weights of any model."""


@dataclass(frozen=True, kw_only=True)
class Hiera:
    """The encoder of SAM 2: blocks in four stages, each with half the tokens a side and twice the channels."""

    width: int = 96
    """Channels of the first stage."""
    heads: int = 1
    """Of the first stage; twice as many in each further one."""
    stages: tuple[int, ...] = (1, 2, 7, 2)
    """Blocks in each."""
    spread: tuple[int, ...] = (5, 7, 9)
    """Blocks that attend to the whole image; the others to windows."""
    windows: tuple[int, ...] = (8, 4, 14, 7)
    """Side of the windows of each stage, in tokens."""
    background: int = 7
    """Side of the table of positions, in tokens."""

    patch = 16
    """Pixels along a side of a token of the last stage that the decoder sees."""


@dataclass(frozen=True, kw_only=True)
class Vit:
    """The encoder of SAM 3."""

    width: int = 1024
    inner: int = 4736
    """Channels inside a block."""
    depth: int = 32
    heads: int = 16
    spread: tuple[int, ...] = (7, 15, 23, 31)
    """Blocks that attend to the whole image; the others to windows of 24 x 24 tokens."""

    patch = 14
    """Pixels along a side of a token."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One model of the family.

    Parameters
    ----------
    name : str
        What the user types.
    family : str
    encoder : Hiera or Vit
    file : str
        The weights file's name in a folder of weights.
    url : str
        Where its authors publish it.
    repository : str
        Their repository at Hugging Face.
    licence : str
        Of the weights.
    terms : str
        Where the licence can be read.
    side : int
        Side of the input in pixels; all published weights have 1024, and SAM 3 1008.
    """

    name: str
    family: str
    encoder: Hiera | Vit
    file: str
    url: str
    repository: str
    licence: str = "Apache-2.0"
    terms: str = ""
    side: int = 1024

    @property
    def tokens(self) -> int:
        """Along a side of the image, where the decoder sees them."""
        return self.side // self.encoder.patch

    @property
    def cells(self) -> int:
        """Along a side of a mask."""
        return 4 * self.tokens

    @property
    def files(self) -> tuple[str, ...]:
        """Names that its weights may have in a folder of weights."""
        return tuple(dict.fromkeys((self.file, f"{self.name}.safetensors")))

    @property
    def snapshot(self) -> tuple[str, ...]:
        """Names that its weights may have in a snapshot from Hugging Face."""
        return tuple(dict.fromkeys((_SNAPSHOT, *self.files)))

    @property
    def published(self) -> Published:
        return Published(
            model=self.name,
            files=self.files,
            url=self.url,
            name=self.file,
            repository=self.repository,
            snapshot=self.snapshot,
            licence=self.licence,
            terms=self.terms,
            abilities=("box", "mask", "points"),
            facts=self.facts,
        )

    @property
    def facts(self) -> Facts:
        """What it costs and who made it."""
        parameters, megabytes, seconds, gigabytes = _COSTS[self.name.replace("sam2-", "sam2.1-")]
        return Facts(
            family=self.family,
            parameters=parameters,
            megabytes=megabytes,
            seconds=seconds,
            gigabytes=gigabytes,
            citation=_CITATIONS[type(self.encoder)],
            code=CODE,
            timed=self.name.endswith(("tiny", "tracker")),
        )


_CITATIONS = {
    Hiera: "Ravi et al.: SAM 2: Segment Anything in Images and Videos. 2024, arXiv:2408.00714",
    Vit: "Carion et al.: SAM 3: Segment Anything with Concepts. 2025, arXiv:2511.16719",
}
_COSTS = {
    "sam2.1-tiny": (31_440_721, 156, 2.4, 1.3),
    "sam2.1-small": (38_538_577, 184, 2.9, 1.4),
    "sam2.1-base-plus": (73_328_401, 324, 5, 1.6),
    "sam2.1-large": (216_924_865, 898, 14, 2.4),
    "sam3-tracker": (458_260_369, 1833, 40, 2.8),
}
"""Parameters, megabytes, seconds and gigabytes, as in `Facts`; SAM 2 is as large as 2.1."""

_TINY = Hiera()
_SMALL = Hiera(stages=(1, 2, 11, 2), spread=(7, 10, 13))
_BASE = Hiera(width=112, heads=2, stages=(2, 3, 16, 3), spread=(12, 16, 20), background=14)
_LARGE = Hiera(width=144, heads=2, stages=(2, 6, 36, 4), spread=(23, 33, 43), windows=(8, 4, 16, 8))
_SIZES = {"tiny": _TINY, "small": _SMALL, "base-plus": _BASE, "large": _LARGE}
_DATES = {"2": "072824", "2.1": "092824"}


def _sam2(version: str, size: str) -> Variant:
    file = f"sam{version}_hiera_{size.replace('-', '_')}.pt"
    return Variant(
        name=f"sam{version}-{size}",
        family=f"SAM {version}",
        encoder=_SIZES[size],
        file=file,
        url=f"{_FILES}/{_DATES[version]}/{file}",
        repository=f"facebook/sam{version}-hiera-{size}",
    )


_TRACKER = Variant(
    name="sam3-tracker",
    family="SAM 3",
    encoder=Vit(),
    file="sam3-tracker.safetensors",
    url=f"{_SAM3}/resolve/main/{_SNAPSHOT}",
    repository="facebook/sam3",
    licence="SAM License",
    terms=f"{_SAM3}/blob/main/LICENSE",
    side=1008,
)

VARIANTS = {
    variant.name: variant for variant in (*(_sam2(version, size) for version in _DATES for size in _SIZES), _TRACKER)
}
"""By name."""


def published() -> list[Published]:
    """Where the weights of the family are; those of SAM 3 are given only to those whom its authors let in."""
    return [variant.published for variant in VARIANTS.values()]
