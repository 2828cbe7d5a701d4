"""Labels and masks as polygons along sample edges: of single masks, or streamed from a label image of any size."""

from promptile.vectors.shaping import Shaping

__all__ = ["Shaping"]
