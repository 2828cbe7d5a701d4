"""`basin`: the embedded default model. No weights, no torch; images and volumes."""

from __future__ import annotations

from promptile.models.protocols import Promptable


def load(ndim: int) -> Promptable:
    """The model for images (`ndim` 2) or volumes (3)."""
    if ndim == 2:
        from promptile.models.basin.plane.model import Plane

        return Plane()
    from promptile.models.basin.solid.model import Solid

    return Solid()
