"""Which boxes of different views are the same object, where no view may have it twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.boxes import Numbers

Accept = Callable[[list[int], list[int]], bool]
"""Whether two families may become one, by the numbers of their members."""


def families(
    views: Numbers,
    pairs: tuple[Numbers, Numbers],
    quality: NDArray[np.float64],
    accept: Accept = lambda _a, _b: True,
) -> list[list[int]]:
    """Boxes that are one object: the best pairs are joined first, and never two boxes of one view.

    What one view tells apart are two objects, whatever other views say.

    Parameters
    ----------
    views : ndarray of int, shape (n,)
        In which view each box was seen.
    pairs : two ndarrays of int, shape (m,)
        Which boxes may be the same.
    quality : ndarray of float, shape (m,)
        How well they agree.
    accept : callable, optional
        A last word on each joining.

    Returns
    -------
    list of list of int
        Members in order; families in the order of their first members.
    """
    family = list(range(len(views)))
    members = [[i] for i in range(len(views))]
    seen = [{int(view)} for view in views]
    left, right = (side.tolist() for side in pairs)
    for k in np.argsort(-quality, kind="stable").tolist():
        a, b = sorted((family[left[k]], family[right[k]]))
        if a == b or not seen[a].isdisjoint(seen[b]) or not accept(members[a], members[b]):
            continue
        for i in members[b]:
            family[i] = a
        members[a] += members[b]
        seen[a] |= seen[b]
        members[b] = []
    return [sorted(found) for found in members if found]


def best_of(members: Sequence[int], scores: NDArray[np.float64]) -> int:
    """The member with the highest score; the first of equals."""
    return max(members, key=lambda i: (scores[i], -i))
