"""What a click changes: what is connected with it, in its slice and from there in the slices beside it.

A model that is asked with a click answers anew: besides the mistake that was meant it changes what was right. So of
its answer only that counts which the click asks for. A click on the object adds, one beside it takes away::

    what stood      the answer      what comes of it
    +--------+      +--------+      +--------+
    |  ooo   |      | ooo    |      |  ooo   |    x: not the object. The leak below it goes, and what else the
    |  ooo   |      | ooo    |      |  ooo   |    answer does to the outline is not connected with the click.
    |   oxo  |      |        |      |        |
    +--------+      +--------+      +--------+
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.engine.slices.marks import Marks
from promptile.engine.slices.pieces import AROUND, Sheet, bounds, draw, pieces_of, union
from promptile.engine.slices.stack import Stack
from promptile.grid import Window

MIDDLE = 0.95
"""A click that takes away lies in the middle of a piece where it is this deep in it, as a part of how deep one can be:
the piece is none of the object."""

KEPT = 0.6
"""IoU with what stood below which an answer takes too much away for a correction."""


def corrected(stood: Sheet, found: Sheet, click: Marks, spacing: tuple[float, float]) -> Sheet:
    """What a slice shows after a click.

    Parameters
    ----------
    stood : tuple of Piece
        What it showed before.
    found : tuple of Piece
        What the model says now.
    click : Marks
        A single one.
    spacing : (float, float)
        Of samples in the slice.

    Returns
    -------
    tuple of Piece
        What stood with that change of it that is connected with the click. Where the answer does not do what the
        click says, or takes too much away, the largest disc around the click changes that is all as wrong as it, and
        no wider than what stood. A click in the middle of a piece takes away all of it. One on the object
        adds all that the answer adds; one beside it where nothing is changes nothing.
    """
    on, place = bool(click.labels[0]), np.rint(click.points[0]).astype(int)
    half = max(bounds(stood).shape) // 2 + 1  # what a disc may need
    window = (bounds(stood) | bounds(found) | Window.between(place - half, place + half + 1)).grow(1)
    at = tuple(place - window.start)
    before, after = draw(stood, window), draw(found, window)
    change = after & ~before if on else before & ~after
    if before[at] == on:  # nothing is wrong there, but more may be meant
        return pieces_of(after | before, window.start) if on else stood
    deep = ndimage.distance_transform_edt(before != on, spacing)
    if not on:
        piece = _connected(before, at)
        if deep[at] >= MIDDLE * deep[piece].max():
            return pieces_of(before & ~piece, window.start)
    change = _connected(change, at)
    if not change[at] or (not on and np.count_nonzero(before & ~change) < KEPT * np.count_nonzero(before)):
        wide = ndimage.distance_transform_edt(before, spacing).max()
        change = _disc(at, min(deep[at], wide), before.shape, spacing) & (before != on)
    return pieces_of(before ^ change, window.start)


def spread(stood: Mapping[int, Sheet], seen: Mapping[int, Sheet], click: Marks, stack: Stack) -> dict[int, Sheet]:
    """What all slices show after a click in one of them.

    Parameters
    ----------
    stood : mapping from int to Sheet
        What they showed before.
    seen : mapping from int to Sheet
        What they show as they are seen from what the click made of its slice.
    click : Marks
    stack : Stack

    Returns
    -------
    dict from int to Sheet
        What stood with that change of it which is connected with the click's own. The change of an outline moves from
        slice to slice by no more than they lie apart, and ends where nothing stood; whole pieces, which touch nothing
        else in the slice of the click, are followed wherever they go.
    """
    on, first = bool(click.labels[0]), click.index
    result = dict(stood)
    before, after = stood.get(first, ()), seen.get(first, ())
    begun = _change(before, after, on)
    whole = not any(piece.touches(other) for piece in begun for other in (before if on else after))
    _put(result, first, begun, on)
    queue = deque((first, way, begun) for way in (1, -1) if begun)
    while queue:
        index, way, over = queue.popleft()
        there = index + way
        if not whole and not result.get(there):
            continue
        change = _change(result.get(there, ()), seen.get(there, ()), on)
        change = _over(change, over, 0 if whole else max(stack.thickness, *stack.spacing), stack.spacing)
        if change:
            _put(result, there, change, on)
            queue.extend((there, further, change) for further in ((way, -way) if whole else (way,)))
    return result


def _change(before: Sheet, after: Sheet, on: bool) -> Sheet:
    """What is added, or taken away."""
    window = bounds(before) | bounds(after)
    was, is_ = draw(before, window), draw(after, window)
    return pieces_of(is_ & ~was if on else was & ~is_, window.start)


def _over(change: Sheet, other: Sheet, reach: float, spacing: tuple[float, float]) -> Sheet:
    """The connected parts of a change that touch the one beside it; with a `reach`, what of it lies that close."""
    if not change:
        return ()
    if reach:
        window = bounds(change) | bounds(other)
        near = ndimage.distance_transform_edt(~draw(other, window), spacing) <= reach
        change = pieces_of(draw(change, window) & near, window.start)
    return tuple(piece for piece in change if any(piece.touches(one) for one in other))


def _put(sheets: dict[int, Sheet], index: int, change: Sheet, on: bool) -> None:
    before = sheets.pop(index, ())
    window = bounds(before)
    after = union(before, change) if on else pieces_of(draw(before, window) & ~draw(change, window), window.start)
    if after:
        sheets[index] = after


def _connected(samples: NDArray[np.bool_], at: tuple[int, ...]) -> NDArray[np.bool_]:
    """What is connected with a place; nothing if that is not among the samples."""
    numbers, _ = ndimage.label(samples, AROUND)
    connected: NDArray[np.bool_] = (numbers == numbers[at]) & samples[at]
    return connected


def _disc(
    at: tuple[int, ...], radius: float, shape: tuple[int, ...], spacing: tuple[float, float]
) -> NDArray[np.bool_]:
    """Samples that lie less than a radius from one of them."""
    apart = np.ones(shape, bool)
    apart[at] = False
    disc: NDArray[np.bool_] = ndimage.distance_transform_edt(apart, spacing) < radius
    return disc
