"""Models that rank pictures by texts: CLIP and SigLIP 2. Networks are those of `transformers`, extra ``hf``.

Each function here loads one model, as the registry does: ``clip_b32(2)``. In Python more can be said:
``clip_b32(2, weights="clip-b32/", device="cpu")``. Nothing is ever downloaded here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from promptile.models.fetching import check_consent
from promptile.models.hosted import needed
from promptile.models.protocols import Ranker
from promptile.models.rankers.variants import VARIANTS
from promptile.models.weights import find_snapshot


def load(name: str, ndim: int, *, weights: Path | str | None = None, device: str = "auto") -> Ranker:
    """A ranker.

    Parameters
    ----------
    name : str
        One of `VARIANTS`.
    ndim : int
        What the image has. The model takes pictures in any case, as its card says.
    weights : path, optional
        The folder of its snapshot; without it, it is looked for by name.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises
    ------
    ModelError
        If transformers, the weights or the device are not here, or the weights do not fit.
    """
    variant = VARIANTS[name]
    check_consent(variant.published)
    folder = find_snapshot(variant.published, weights)
    with needed(name):
        from promptile.models.rankers.model import Ranking
    return Ranking.load(variant, folder, device)


clip_b32 = partial(load, "clip-b32")
clip_l14 = partial(load, "clip-l14")
siglip2_base = partial(load, "siglip2-base")
