"""What is to be said of answers that a model is unsure of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNSURE = 0.4
"""Score of an answer to clicks in a volume below which it may as well be anything."""


def doubt_of(spec: Mapping[str, Any], kind: str, score: float) -> str:
    """What an object may be, and what to do about it, as the end of a sentence; empty if there is no doubt.

    Around a click inside of a large object a model of volumes sees nothing that ends: in its window all samples look
    alike, and its answer is a ball around the click.

    Parameters
    ----------
    spec : mapping
        What decided the result: `Run.spec` or `Job.spec`.
    kind : str
        `Prompt.kind` of what was asked.
    score : float
        Of the answer.
    """
    seen_as_volume = len(spec["grid"]["shape"]) == 3 and "slices" not in spec and "tiling" in spec
    if not seen_as_volume or kind != "points" or not score < _UNSURE:
        return ""
    return (
        f"may be a part only: the model is unsure of what it sees within {max(spec['tiling']['size'])} samples of the "
        "click; draw a box around what is larger, or ask at a coarser level"
    )
