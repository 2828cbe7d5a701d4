"""The models of this family: how they are built, what their weights files are called, and what they can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from promptile.models.protocols import Ability
from promptile.models.published import Facts, Published

_SEGMENT_ANYTHING = "https://dl.fbaipublicfiles.com/segment_anything"
_HQ = "https://huggingface.co/lkeab/hq-sam/resolve/main"
_MOBILE = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights"
_EFFICIENT = "https://github.com/yformer/EfficientSAM/raw/main/weights"


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """The part that looks at the image, the only one that differs much in size."""

    kind: Literal["vit", "tiny"]
    width: int = 0
    """Channels between the blocks of a `vit`."""
    depth: int = 0
    heads: int = 0
    spread: tuple[int, ...] = ()
    """Blocks that attend to the whole image; the others to windows of 14 x 14 tokens. Empty: all of them."""
    early: int = 0
    """Channels of the early feature that the high-quality decoder takes."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One model of the family.

    Parameters
    ----------
    name : str
        What the user types.
    family : str
    file : str
        The weights file's name where its authors publish it.
    page : str
        Where that is.
    hub : tuple of str
        Repositories on Hugging Face that hold the file, or `model.safetensors`.
    encoder : Encoder
    quality : bool
        Whether it has the decoder of SAM-HQ.
    style : str
        `sam`, or `efficient` for what EfficientSAM does differently: it stretches images instead of padding them, takes
        no masks and at most six points, corners of a box included, and its decoder has other activations.
    side : int
        Side of the input in pixels; all published weights have 1024.
    """

    name: str
    family: str
    file: str
    page: str
    hub: tuple[str, ...]
    encoder: Encoder
    quality: bool = False
    style: Literal["sam", "efficient"] = "sam"
    side: int = 1024
    licence: str = "Apache-2.0"

    @property
    def abilities(self) -> frozenset[Ability]:
        return frozenset({"points", "box"}) if self.style == "efficient" else frozenset({"points", "box", "mask"})

    @property
    def max_points(self) -> int | None:
        """How many points it takes, corners of a box included."""
        return 6 if self.style == "efficient" else None

    @property
    def files(self) -> tuple[str, ...]:
        """Names that its weights may have in a folder of weights."""
        zipped = (f"{self.file}.zip",) if self.style == "efficient" else ()
        return (self.file, f"{self.name}.safetensors", *zipped)


_BASE = Encoder(kind="vit", width=768, depth=12, heads=12, spread=(2, 5, 8, 11), early=768)
_LARGE = Encoder(kind="vit", width=1024, depth=24, heads=16, spread=(5, 11, 17, 23), early=1024)
_HUGE = Encoder(kind="vit", width=1280, depth=32, heads=16, spread=(7, 15, 23, 31), early=1280)
_TINY = Encoder(kind="tiny", early=160)
_SIZES = {"b": "base", "l": "large", "h": "huge"}


def _sam(size: str, file: str, encoder: Encoder) -> Variant:
    page, hub = f"{_SEGMENT_ANYTHING}/{file}", (f"facebook/sam-vit-{_SIZES[size]}",)
    return Variant(name=f"sam-{size}", family="SAM", file=file, page=page, hub=hub, encoder=encoder)


def _hq(name: str, file: str, encoder: Encoder, *hub: str) -> Variant:
    page = f"{_HQ}/{file}"
    hub = ("lkeab/hq-sam", *hub)
    return Variant(name=name, family="SAM-HQ", file=file, page=page, hub=hub, encoder=encoder, quality=True)


def _efficient(size: str, file: str, page: str, encoder: Encoder) -> Variant:
    name, hub = f"efficient-sam-{size}", ("yunyangx/EfficientSAM",)
    return Variant(name=name, family="EfficientSAM", file=file, page=page, hub=hub, encoder=encoder, style="efficient")


VARIANTS = {
    variant.name: variant
    for variant in (
        _sam("b", "sam_vit_b_01ec64.pth", _BASE),
        _sam("l", "sam_vit_l_0b3195.pth", _LARGE),
        _sam("h", "sam_vit_h_4b8939.pth", _HUGE),
        _hq("sam-hq-b", "sam_hq_vit_b.pth", _BASE, "syscv-community/sam-hq-vit-base"),
        _hq("sam-hq-l", "sam_hq_vit_l.pth", _LARGE, "syscv-community/sam-hq-vit-large"),
        _hq("sam-hq-h", "sam_hq_vit_h.pth", _HUGE, "syscv-community/sam-hq-vit-huge"),
        _hq("light-hq-sam", "sam_hq_vit_tiny.pth", _TINY),
        Variant(
            name="mobile-sam",
            family="MobileSAM",
            file="mobile_sam.pt",
            page=f"{_MOBILE}/mobile_sam.pt",
            hub=("dhkim2810/MobileSAM",),
            encoder=_TINY,
        ),
        _efficient(
            "ti",
            "efficient_sam_vitt.pt",
            f"{_EFFICIENT}/efficient_sam_vitt.pt",
            Encoder(kind="vit", width=192, depth=12, heads=3),
        ),
        _efficient(
            "s",
            "efficient_sam_vits.pt",
            f"{_EFFICIENT}/efficient_sam_vits.pt.zip",
            Encoder(kind="vit", width=384, depth=12, heads=6),
        ),
    )
}
"""By name."""


_CITATIONS = {
    "SAM": "Kirillov et al.: Segment Anything. ICCV 2023, arXiv:2304.02643",
    "SAM-HQ": "Ke et al.: Segment Anything in High Quality. NeurIPS 2023, arXiv:2306.01567",
    "MobileSAM": "Zhang et al.: Faster Segment Anything: Towards Lightweight SAM for Mobile Applications. 2023, "
    "arXiv:2306.14289",
    "EfficientSAM": "Xiong et al.: EfficientSAM: Leveraged Masked Image Pretraining for Efficient Segment Anything. "
    "CVPR 2024, arXiv:2312.00863",
}
_COSTS = {
    "sam-b": (93_735_472, 375, 10, 1.1),
    "sam-l": (312_342_832, 1250, 28, 2.0),
    "sam-h": (641_090_608, 2565, 48, 3.4),
    "sam-hq-b": (94_806_576, 379, 10, 1.2),
    "sam-hq-l": (313_676_080, 1255, 28, 2.1),
    "sam-hq-h": (642_686_000, 2571, 48, 3.5),
    "light-hq-sam": (10_256_964, 43, 1.7, 0.63),
    "mobile-sam": (9_808_452, 41, 1.6, 0.62),
    "efficient-sam-ti": (10_972_324, 41, 1.5, 0.6),
    "efficient-sam-s": (27_910_756, 106, 3.7, 0.63),
}
"""Parameters, megabytes, seconds and gigabytes, as in `Facts`."""


def _facts(variant: Variant) -> Facts:
    parameters, megabytes, seconds, gigabytes = _COSTS[variant.name]
    return Facts(
        family=variant.family,
        parameters=parameters,
        megabytes=megabytes,
        seconds=seconds,
        gigabytes=gigabytes,
        citation=_CITATIONS[variant.family],
        timed=not variant.name.endswith(("-l", "-h")),
    )


def published() -> list[Published]:
    """Where the weights of the family are; SAM's own name the beginning of their digests."""
    return [
        Published(
            model=variant.name,
            files=variant.files,
            url=variant.page,
            licence=variant.licence,
            sha256=variant.file.removesuffix(".pth").rpartition("_")[2] if variant.family == "SAM" else "",
            abilities=tuple(sorted(variant.abilities)),
            facts=_facts(variant),
        )
        for variant in VARIANTS.values()
    ]
