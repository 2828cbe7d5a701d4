"""What every model is, and what it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from promptile.models.protocols.card import ModelCard


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
        """``(y, x)`` or ``(z, y, x)``."""
        return self.valid.shape


class Model(Protocol):
    """Anything that segments."""

    @property
    def card(self) -> ModelCard:
        """What it can do, takes and costs."""
        ...
