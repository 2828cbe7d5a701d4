"""`basin`: the embedded default model. No weights, no torch; images and volumes."""

from __future__ import annotations

from promptile.models.protocols import Promptable


def load(ndim: int) -> Promptable:
    """The model for images (`ndim` 2) or volumes (3)."""
    from promptile.models.basin.watershed import Watershed

    return Watershed(ndim)
