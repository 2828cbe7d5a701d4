"""Models that answer points, boxes and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from promptile.models.protocols.views import Model, View
from promptile.prompts.types import WindowPrompt


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


@runtime_checkable
class Promptable(Model, Protocol):
    """A model that answers points, boxes or masks. Both methods may be called from several threads."""

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        """Look at windows: the expensive part, once per window.

        Parameters
        ----------
        views : sequence of View
            Of any shapes, with as many channels as the card says. They belong to others: they are not written to.

        Returns
        -------
        list of Embedding
            One per view. A view is embedded in a batch as it is alone.
        """
        ...

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        """All candidate masks for one object: cheap, once per prompt.

        Parameters
        ----------
        embedding : Embedding
            Of the window, by this model or one with the same digest.
        prompt : WindowPrompt
            In the window's index coordinates, ``(y, x)`` or ``(z, y, x)``; only of kinds among the card's abilities.

        Returns
        -------
        Masks
            On the window's own samples, the best first. The same question gets the same answer.
        """
        ...


@runtime_checkable
class Batched(Promptable, Protocol):
    """A promptable model that answers many prompts about one view faster together than one by one."""

    def predict_batch(self, embedding: Embedding, prompts: Sequence[WindowPrompt]) -> list[Masks]:
        """What `predict` answers to each of the prompts, in their order."""
        ...


@runtime_checkable
class Selective(Batched, Protocol):
    """A batched model that saves time where masks it thinks little of are not wanted."""

    def predict_above(self, embedding: Embedding, prompts: Sequence[WindowPrompt], least: float) -> list[Masks]:
        """What `predict_batch` answers, without the masks that nobody wants.

        Parameters
        ----------
        embedding : Embedding
        prompts : sequence of WindowPrompt
        least : float
            Masks whose score, 0 to 1, is not above it are left out; an answer may be empty then.
        """
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
