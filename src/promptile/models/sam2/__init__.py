"""SAM 2, SAM 2.1 and the tracker of SAM 3, whose networks `transformers` builds. Needs the extra ``hf``.

Each function here loads one model, as the registry does: ``sam2_1_tiny(2)``. In Python more can be said:
``sam2_1_tiny(2, weights="sam2.1_hiera_tiny.pt", device="cpu")``. Nothing is ever downloaded here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from promptile.errors import ModelError
from promptile.models.fetching import check_consent
from promptile.models.hosted import needed
from promptile.models.protocols import Promptable
from promptile.models.sam2.variants import VARIANTS, Hiera
from promptile.models.weights import find, in_hub_cache


def load(
    name: str, ndim: int, *, weights: Path | str | None = None, device: str = "auto", precision: str = "auto"
) -> Promptable:
    """A model of the family.

    Parameters
    ----------
    name : str
        One of `VARIANTS`.
    ndim : int
        What the image has. The model takes 2 in any case, as its card says.
    weights : path, optional
        The weights file, or the folder of a snapshot that holds it; without it, it is looked for by name.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    precision : str
        With how many digits windows are looked at: ``auto`` (``bf16`` or ``fp16`` on an NVIDIA GPU, elsewhere
        ``fp32``), ``fp32``, ``bf16`` or ``fp16``.

    Raises
    ------
    ModelError
        If transformers, the weights, the device or its precision are not here, the weights do not fit, or their
        licence is not accepted.
    """
    variant = VARIANTS[name]
    check_consent(variant.published)
    if weights is None:
        weights = in_hub_cache(variant.repository, variant.snapshot)
    elif Path(weights).expanduser().is_dir():
        weights = _in_folder(Path(weights).expanduser(), variant.snapshot)
    path = find(name, variant.files, variant.url, weights)
    with needed(name):
        from promptile.models.sam2.model import Sam2
        from promptile.models.sam2.remembering import RememberingSam2
    kind = RememberingSam2 if isinstance(variant.encoder, Hiera) else Sam2
    return kind.load(variant, path, device, precision=precision)


def _in_folder(folder: Path, names: tuple[str, ...]) -> Path:
    """The weights in the folder of a snapshot."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"The folder {folder} holds no weights: it needs {' or '.join(names)}")


sam2_tiny = partial(load, "sam2-tiny")
sam2_small = partial(load, "sam2-small")
sam2_base_plus = partial(load, "sam2-base-plus")
sam2_large = partial(load, "sam2-large")
sam2_1_tiny = partial(load, "sam2.1-tiny")
sam2_1_small = partial(load, "sam2.1-small")
sam2_1_base_plus = partial(load, "sam2.1-base-plus")
sam2_1_large = partial(load, "sam2.1-large")
sam3_tracker = partial(load, "sam3-tracker")
