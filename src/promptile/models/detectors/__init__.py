"""Models that find what a text says: Grounding DINO, OWLv2, SAM 3. Networks are those of `transformers`, extra ``hf``.

Each function here loads one model, as the registry does: ``grounding_dino_tiny(2)``. In Python more can be said:
``grounding_dino_tiny(2, weights="grounding-dino-tiny/", device="cpu")``. Nothing is ever downloaded here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from promptile.models.detectors.variants import VARIANTS
from promptile.models.fetching import check_consent
from promptile.models.hosted import needed
from promptile.models.protocols import Detector
from promptile.models.weights import find_snapshot


def load(name: str, ndim: int, *, weights: Path | str | None = None, device: str = "auto") -> Detector:
    """A detector.

    Parameters
    ----------
    name : str
        One of `VARIANTS`.
    ndim : int
        What the image has. The model takes 2 in any case, as its card says.
    weights : path, optional
        The folder of its snapshot; without it, it is looked for by name.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises
    ------
    ModelError
        If transformers, the weights or the device are not here, the weights do not fit, or their licence is not
        accepted.
    """
    variant = VARIANTS[name]
    check_consent(variant.published)
    folder = find_snapshot(variant.published, weights)
    with needed(name):
        from promptile.models.detectors.concepts import Sam3
        from promptile.models.detectors.grounding import GroundingDino
        from promptile.models.detectors.model import Finder
        from promptile.models.detectors.owl import Owlv2
    kinds: dict[str, type[Finder[Any]]] = {"grounding": GroundingDino, "owl": Owlv2, "concepts": Sam3}
    return kinds[variant.kind].load(variant, folder, device)


grounding_dino_tiny = partial(load, "grounding-dino-tiny")
grounding_dino_base = partial(load, "grounding-dino-base")
mm_grounding_dino_tiny = partial(load, "mm-grounding-dino-tiny")
owlv2_base = partial(load, "owlv2-base")
owlv2_large = partial(load, "owlv2-large")
sam3 = partial(load, "sam3")
