"""Polygons with holes as one ring each: holes hang on the exterior by a seam without width.

::

    +-----------+        +-----------+
    |   +---+   |        |   +---+   |
    |   |   |   |   ->   +===+   |   |      the seam is walked to the hole and back
    |   +---+   |        |   +---+   |
    +-----------+        +-----------+
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def joined(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One closed ring ``(n, 2)`` of an exterior and its holes, given as closed rings ``(row, column)``.

    All edges run along the axes, as those of samples do. The seams run along edges of samples, too, so that whoever
    asks which centres lie inside gets every sample back.
    """
    whole = rings[0]
    for hole in sorted(rings[1:], key=lambda ring: float(ring[:, 1].min())):
        whole = _hang(whole, hole)
    return whole


def _hang(whole: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hang a hole on the nearest edge to its left: everything further left is already part of the ring."""
    at = int(np.lexsort((hole[:-1, 0], hole[:-1, 1]))[0])
    row, column = hole[at]
    begin, end = whole[:-1], whole[1:]
    low, high = np.minimum(begin[:, 0], end[:, 0]), np.maximum(begin[:, 0], end[:, 0])
    crossed = np.flatnonzero((begin[:, 1] == end[:, 1]) & (begin[:, 1] <= column) & (low <= row) & (row <= high))
    edge = int(crossed[begin[crossed, 1].argmax()])
    seam = np.array([[row, begin[edge, 1]]])
    around = np.concatenate([hole[at:-1], hole[: at + 1]])
    return np.concatenate([whole[: edge + 1], seam, around, seam, whole[edge + 1 :]])
