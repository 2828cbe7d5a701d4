"""Labels and masks as polygons along sample edges: of single masks, or streamed from a label image of any size."""

from promptile.vectors.outlines import Polygon, geometries, outline, to_geometries
from promptile.vectors.streams import Labels, stream

__all__ = ["Labels", "Polygon", "geometries", "outline", "stream", "to_geometries"]
