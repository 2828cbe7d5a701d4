"""All objects of an image: each tile answers, then the answers are stitched.

::

    answering    tile -> answer on disk
    stitching    answers of neighbours -> one numbering -> label images
    levels       objects too large for a tile, found at a coarser level
    hierarchy    parts within their wholes
    scales       what becomes of the objects of two levels
    table        label images -> what is known of each object
    computing    the order of it all, and what happens when a tile fails
"""

from promptile.engine.everything.computing import check_proposer, compute
from promptile.engine.everything.options import Everything

__all__ = ["Everything", "check_proposer", "compute"]
