"""The model for images."""

from promptile.models.basin.plane.model import Plane

__all__ = ["Plane"]
