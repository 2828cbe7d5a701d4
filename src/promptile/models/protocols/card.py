"""What a model says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ability = Literal["points", "box", "mask", "memory", "propose", "text", "rank"]


@dataclass(frozen=True)
class Thresholds:
    """What a detector must be sure of to report something; each detector has its own scale."""

    box: float
    """Least score of a box, 0 to 1."""
    text: float
    """Least score of a word to belong to the phrase that a box is about; ignored by models without words."""


@dataclass(frozen=True)
class Trust:
    """How far the answers of two windows must agree, as IoU where both look."""

    believed: float = 0.5
    """From here on they are about the same object: above one half there is one such object."""
    sure: float = 0.5
    """Below, a window is asked again with points where it differs."""


LEARNT = Trust(believed=0.7, sure=0.8)
"""For networks that guess at what they cannot see: with the weights of MobileSAM an answer that agreed by less than 0.7
was mostly another object or all the window; of those above, none was."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model can do, takes and costs."""

    name: str
    """The name that the user types."""
    family: str
    abilities: frozenset[Ability]
    ndim: int
    """2 for images, 3 for volumes."""
    input: Literal["rendered", "raw"] = "rendered"
    """`rendered`: float32 with 0 to 1 as the visible range; `raw`: the file's own values and dtype."""
    channels: int | None = None
    """How many channels it takes; None: any number."""
    max_points: int | None = None
    window: tuple[int, ...] = ()
    """The window shape it works best with; empty: any."""
    spacing: tuple[float, ...] | None = None
    """Of a model that answers prompts: the distance between samples that it wants along each axis, in millimetres."""
    trust: Trust = Trust()
    """When an answer is believed that continues a neighbour's."""
    thresholds: Thresholds | None = None
    """A detector's own defaults."""
    licence: str = ""
    device: str = "cpu"
    """Where it runs: `cpu`, or `cuda` where much can be asked of it."""
    digest: str = ""
    """SHA-256 of the weights and version of the code: two equal digests give equal answers."""
