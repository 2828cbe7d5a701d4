"""`LoadedGraph`: a network that a runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
"""Tensors by the names that they have in the network."""


@dataclass(frozen=True)
class Port:
    """What an input must be."""

    shape: list[int | None] | None
    """None where any length will do; None for any number of axes."""
    dtype: np.dtype[Any]


class LoadedGraph(Protocol):
    """One network, loaded; it may be run from several threads."""

    @property
    def inputs(self) -> dict[str, Port]:
        """By name."""
        ...

    @property
    def outputs(self) -> list[str]: ...

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """All outputs for inputs of the right types; they belong to the caller."""
        ...
