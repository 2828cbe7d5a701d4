"""SAM and its kin, in a network of our own: SAM, SAM-HQ, Light HQ-SAM, MobileSAM, EfficientSAM. Needs torch.

Each function here loads one model, as the registry does: ``mobile_sam(2)``. In Python more can be said:
``sam_hq_b(2, weights="sam_hq_vit_b.pth", device="cpu", hq_token_only=True)``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from promptile.errors import ModelError
from promptile.models.protocols import Promptable
from promptile.models.sam.variants import VARIANTS, Variant
from promptile.models.weights import find, in_folders, in_hub_cache


def load(
    name: str,
    ndim: int,
    *,
    weights: Path | str | None = None,
    device: str = "auto",
    runtime: str | None = None,
    precision: str = "auto",
    hq_token_only: bool = False,
) -> Promptable:
    """A model of the family.

    Parameters
    ----------
    name : str
        One of `VARIANTS`.
    ndim : int
        What the image has. The model takes 2 in any case, as its card says.
    weights : path, optional
        The weights file; without it, it is looked for by name, also among what Hugging Face's tools downloaded.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    runtime : str, optional
        What computes: ``torch``, ``onnx``, ``openvino`` or ``auto``; without it, as the environment variable
        ``PROMPTILE_RUNTIME`` says, or ``auto``.
    precision : str
        With how many digits windows are looked at: ``auto`` (``bf16`` or ``fp16`` on an NVIDIA GPU, elsewhere
        ``fp32``), ``fp32``, ``bf16`` or ``fp16``. But for ``fp32`` torch computes.
    hq_token_only : bool
        SAM-HQ: answer with the finer mask alone instead of the sum.

    Raises
    ------
    ModelError
        If torch, the weights, the device or its precision are not here, the weights do not fit, or the model has no
        finer mask.
    """
    variant = VARIANTS[name]
    if hq_token_only and not variant.quality:
        raise ModelError(f"Model {name!r} has no finer mask: hq_token_only is for SAM-HQ and light-hq-sam")
    try:
        from promptile.models.sam.model import Sam
    except ModuleNotFoundError as error:
        raise ModelError(f"Model {name!r} needs {error.name}: pip install 'promptile[torch]'") from error
    path = find(name, variant.files, variant.page, weights or in_folders(variant.files) or _downloaded(variant))
    return Sam.load(variant, path, device, runtime=runtime, precision=precision, hq_token_only=hq_token_only)


def _downloaded(variant: Variant) -> Path | None:
    """The weights among what Hugging Face's own tools have downloaded."""
    found = (in_hub_cache(repository, (variant.file, "model.safetensors")) for repository in variant.hub)
    return next((path for path in found if path is not None), None)


sam_b = partial(load, "sam-b")
sam_l = partial(load, "sam-l")
sam_h = partial(load, "sam-h")
sam_hq_b = partial(load, "sam-hq-b")
sam_hq_l = partial(load, "sam-hq-l")
sam_hq_h = partial(load, "sam-hq-h")
light_hq_sam = partial(load, "light-hq-sam")
mobile_sam = partial(load, "mobile-sam")
efficient_sam_ti = partial(load, "efficient-sam-ti")
efficient_sam_s = partial(load, "efficient-sam-s")
