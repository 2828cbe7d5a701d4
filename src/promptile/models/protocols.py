"""What a model is to Promptile: a card that says what it can do, and one small protocol per ability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.prompts.types import WindowPrompt

__all__ = [
    "LEARNT",
    "Ability",
    "Batched",
    "Detections",
    "Detector",
    "Embedding",
    "Masks",
    "Memorable",
    "Memory",
    "Model",
    "ModelCard",
    "Promptable",
    "Proposal",
    "Proposer",
    "Ranker",
    "Reading",
    "Remembering",
    "Selective",
    "Storable",
    "Thresholds",
    "Trust",
    "View",
    "WindowPrompt",
]

Ability = Literal["points", "box", "mask", "propose", "text", "rank"]


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


@dataclass(frozen=True, eq=False)
class View:
    """What a model sees of one window of an image."""

    samples: NDArray[Any]
    """``(c, *shape)``. Rendered: float32, 0 to 1 is the visible range, not clipped, 0 where invalid."""
    valid: NDArray[np.bool_]
    """``shape``: False where the image has no data."""
    spacing: tuple[float, ...]
    """Distance between samples along each axis, in the world's units (millimetres in `LPS`)."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.valid.shape


@dataclass(frozen=True, eq=False)
class Embedding:
    """What a model keeps of a view; only the model that made it looks inside."""

    content: Any
    model: str
    """Digest of the model that made it."""
    nbytes: int


@dataclass(frozen=True, eq=False)
class Masks:
    """Candidate masks of one object in one window, the best first."""

    logits: NDArray[np.float32]
    """``(n, *shape)``: above 0 is object."""
    scores: NDArray[np.float64]
    """``(n,)``: the model's own guess of each mask's IoU with the truth, 0 to 1."""


class Model(Protocol):
    """Anything that segments."""

    @property
    def card(self) -> ModelCard: ...


@runtime_checkable
class Promptable(Model, Protocol):
    """A model that answers points, boxes or masks. Both methods may be called from several threads."""

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        """Look at windows: the expensive part, once per window."""
        ...

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        """All candidate masks for one object: cheap, once per prompt."""
        ...


@runtime_checkable
class Batched(Promptable, Protocol):
    """A promptable model that answers many prompts about one view faster together than one by one."""

    def predict_batch(self, embedding: Embedding, prompts: Sequence[WindowPrompt]) -> list[Masks]:
        """What `predict` answers to each of the prompts."""
        ...


@runtime_checkable
class Selective(Batched, Protocol):
    """A batched model that saves time where masks it thinks little of are not wanted."""

    def predict_above(self, embedding: Embedding, prompts: Sequence[WindowPrompt], least: float) -> list[Masks]:
        """What `predict_batch` answers, without the masks whose score is not above `least`; maybe without any."""
        ...


@runtime_checkable
class Storable(Promptable, Protocol):
    """A promptable model whose embeddings are kept on disk, as reading one takes much less time than making it.

    What is used is always what has been packed and unpacked, also when it has just been made: so answers are the
    same from the disk. The card's digest must differ wherever embeddings do, in the precision for instance.
    """

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]]:
        """All that `unpack` needs, as arrays of plain numbers; in half precision if that is good enough."""
        ...

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        """The embedding that was packed, in the memory of this process; the arrays belong to it."""
        ...


@dataclass(frozen=True, eq=False)
class Memory:
    """What a model keeps of an object in views that lie in a row; a value that never changes.

    Only the model that made it looks inside. It holds the last views and those in which the object was given, so that
    it stays small however long the row is.
    """

    content: Any
    model: str
    """Digest of the model that made it."""
    nbytes: int
    """Of what the last view added: memories of one walk share the rest."""


@dataclass(frozen=True, eq=False)
class Memorable:
    """An object in a view where it is known, at a place in a row of views."""

    place: int
    embedding: Embedding
    mask: NDArray[np.bool_]
    """``shape`` of the view: True on the object."""


@runtime_checkable
class Remembering(Promptable, Protocol):
    """A promptable model that follows an object through a row of views, such as slices, by what it remembers.

    Both methods may be called from several threads. All views of a row have the same shape.
    """

    def remember(self, known: Sequence[Memorable]) -> Memory:
        """What is to be remembered of an object, from the views in which it is known."""
        ...

    def recall(self, memory: Memory, embedding: Embedding, place: int, way: int) -> tuple[Masks, Memory]:
        """The object in one more view, and the memory with that view in it.

        Parameters
        ----------
        memory : Memory
        embedding : Embedding
        place : int
            Of the view in the row: the one after the last that was recalled, or after one in which it is known.
        way : int
            1 where places grow from view to view, -1 where they fall.

        Returns
        -------
        masks : Masks
            The one that is remembered; its score is low where the object is not in the view.
        memory : Memory
        """
        ...


@dataclass(frozen=True, eq=False)
class Proposal:
    """One object that a model sees in a view without being asked for it."""

    window: Window
    """The object's bounding box in the view's index coordinates."""
    samples: NDArray[np.bool_]
    """``window.shape``: which samples are object."""
    score: float
    """The model's own guess of the mask's IoU with the truth, 0 to 1."""


@runtime_checkable
class Proposer(Model, Protocol):
    """A model that finds all objects by itself. `propose` may be called from several threads."""

    def propose(self, view: View) -> list[Proposal]:
        """All objects in a view, the best first; they may overlap, hold one another and be cut by the border."""
        ...


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one view, the best first."""

    boxes: NDArray[np.float64]
    """``(n, 2, ndim)``: low and high corners on sample edges, as in `WindowPrompt`; cut at the view's border."""
    scores: NDArray[np.float64]
    """``(n,)``: 0 to 1."""
    phrases: NDArray[np.int64]
    """``(n,)``: which of the phrases that were asked for."""
    masks: NDArray[np.bool_] | None = None
    """``(n, *shape)``, from models that draw what they find."""


@runtime_checkable
class Detector(Model, Protocol):
    """A model that finds what a text says. `detect` may be called from several threads."""

    def detect(self, views: Sequence[View], phrases: Sequence[str], thresholds: Thresholds) -> list[Detections]:
        """What each view shows of any of the phrases; nothing is merged, neighbours may overlap."""
        ...


@runtime_checkable
class Reading(Protocol):
    """A detector or ranker that cannot read every text, and says so before it looks."""

    def read(self, phrases: Sequence[str]) -> None:
        """Raise ModelError if one of the phrases says nothing, or is too long."""
        ...


@runtime_checkable
class Ranker(Model, Protocol):
    """A model that tells how well texts describe pictures. `rank` may be called from several threads."""

    def rank(self, pictures: Sequence[NDArray[np.float32]], phrases: Sequence[str]) -> NDArray[np.float32]:
        """``(pictures, phrases)``: logits, ready for a softmax over either axis.

        Each picture is ``(3, rows, columns)``, 0 to 1, of any size.
        """
        ...
