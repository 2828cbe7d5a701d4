"""`Session`: a network that a runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
"""Tensors by the names that they have in the network."""


class Session(Protocol):
    """One network, loaded; it may be run from several threads."""

    @property
    def inputs(self) -> dict[str, list[int | None]]:
        """The shape of each input by name; None where any length will do."""
        ...

    @property
    def outputs(self) -> list[str]: ...

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """All outputs for inputs of the right types; they belong to the caller."""
        ...
