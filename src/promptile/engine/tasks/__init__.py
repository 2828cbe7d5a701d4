"""What else models of everything can do with an image: edges, and ranked proposals.

::

    shades       a model and a view -> all masks it can think of, unfiltered
    outlines     a mask -> where its outline is, and how steep the model's certainty falls there
    scratch      what tiles have answered, on disk until the result is written
    edges        tiles -> strength of edges -> thin edges -> GeoTIFF
    proposals    tiles -> masks with scores -> ranked table
"""

from promptile.engine.tasks.edges import Edges, find_edges
from promptile.engine.tasks.proposals import Ranked, find_proposals

__all__ = ["Edges", "Ranked", "find_edges", "find_proposals"]
