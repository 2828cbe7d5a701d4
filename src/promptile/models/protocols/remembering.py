"""Models that follow an object through a row of views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from promptile.models.protocols.prompting import Embedding, Masks, Promptable


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
