"""From answers of tiles to one labelling: match in the overlap, join, paint from the best view.

Pure: arrays in, values out. ``(layers, *shape)`` labels of tiles hold local ids; everything else is small::

    for each tile:              objects[tile] = summarise(answer, tile, shape)
    for a, b in neighbours(n):  box = a.outer & b.outer; matches[a.index, b.index] = match(a_labels[box], b_labels[box])
    once:                       joined = join(objects, matches)
    for each block:             paint(block, [Seen(tile, window, labels, joined.roles[tile.index]), ...], layers, shape)

Only the last step needs tiles around it, and each step is the same whatever the order of its items.
"""

from promptile.stitching.matching import Matches, match, neighbours
from promptile.stitching.numbering import Joined, Roles, join
from promptile.stitching.painting import Painted, Seen, counted, paint
from promptile.stitching.summary import summarise
from promptile.stitching.types import LOCAL, Index, TileAnswer, TileObjects

__all__ = [
    "LOCAL",
    "Index",
    "Joined",
    "Matches",
    "Painted",
    "Roles",
    "Seen",
    "TileAnswer",
    "TileObjects",
    "counted",
    "join",
    "match",
    "neighbours",
    "paint",
    "summarise",
]
