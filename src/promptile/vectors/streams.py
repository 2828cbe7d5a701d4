"""A label image of any size as polygons, object by object as the scan passes their ends.

The image is read once, in pieces, strip by strip. Kept are the corners of objects that are not finished, one row of
labels, and the few pieces in work::

    +-------+-------+-------+
    | done  | done  | done  |      An object is finished with the piece in which the lower right corner
    +-------+-------+-------+      of its bounding box lies: what belongs to it was scanned before.
    | done  | scan  | read  |
    +-------+-------+-------+
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptile.corners import Corners, CornerScan
from promptile.errors import RunError
from promptile.grid import Grid, Window
from promptile.vectors.outlines import to_geometries
from promptile.vectors.rings import trace

PIECE = (1024, 2048)
"""Samples that are read at a time: whole blocks of labels, 8 MB."""

_THREADS = 2
_BATCH = 2**18
"""Corners that are made into polygons at a time; an object of more is a batch of its own."""

Shapes = tuple[NDArray[np.int64], NDArray[np.object_]]
"""Ids ``(n,)`` and their shapely MultiPolygons ``(n,)``."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A label image and where its objects are.

    Parameters
    ----------
    read : callable
        Labels of a window, ``window.shape``, unsigned; 0 is background. Called from several threads.
    grid : Grid
        Of two dimensions.
    ids : ndarray of int, shape (n,)
        Objects, ascending and nearly dense: memory follows the largest.
    boxes : ndarray of int, shape (n, 2, 2)
        Per object the first sample and the one after the last, ``(y, x)``; may be larger than the object.
    """

    read: Callable[[Window], NDArray[np.unsignedinteger]]
    grid: Grid
    ids: NDArray[np.int64]
    boxes: NDArray[np.int64]


def stream(labels: Labels, piece: tuple[int, int] = PIECE) -> Iterator[Shapes]:
    """The objects of a label image in world coordinates, some at a time, as they are finished.

    Objects that the image does not show are left out. The geometries do not depend on `piece`, only their order does.

    Parameters
    ----------
    labels : Labels
    piece : tuple of int
        Shape in which labels are read.

    Raises
    ------
    RunError
        If the labels hold an object that `labels` does not name, or one outside of its box.
    """
    pieces = list(_pieces(labels.grid.shape, piece))
    last = _last_pieces(labels, piece)
    held: list[_Held] = []
    for number, corners in enumerate(_scanned(labels, pieces)):
        if len(corners.label):
            held.append(_Held(corners, _finished_with(corners, last, number)))
        ready: list[Corners] = []
        held = [rest for part in held if (rest := part.release(number, ready)) is not None]
        for batch in _batches(Corners.joined(ready).by_label()):
            ids = batch.label[np.flatnonzero(np.diff(batch.label, prepend=-1))]
            yield ids, to_geometries(trace(batch), ids, labels.grid)


@dataclass(frozen=True, eq=False)
class _Held:
    """Corners of one piece that wait, with the number of the piece with which each is finished."""

    corners: Corners
    last: NDArray[np.int32]

    def release(self, number: int, ready: list[Corners]) -> _Held | None:
        """Put what is finished with piece `number` into `ready`; the rest, if there is any."""
        done = self.last <= number
        if not done.any():
            return self
        ready.append(self.corners.take(done))
        return None if done.all() else _Held(self.corners.take(~done), self.last[~done])


def _pieces(shape: tuple[int, ...], piece: tuple[int, int]) -> Iterator[Window]:
    """Windows over the lattice points, one more than samples along each axis, row by row."""
    reach = Window.of([n + 1 for n in shape])
    for row in range(0, reach.shape[0], piece[0]):
        for col in range(0, reach.shape[1], piece[1]):
            yield Window((row, col), piece) & reach


def _last_pieces(labels: Labels, piece: tuple[int, int]) -> NDArray[np.int32]:
    """Per id the number of the piece with which it is finished; -1 for ids that are none."""
    across = labels.grid.shape[1] // piece[1] + 1
    last = np.full(int(labels.ids.max(initial=0)) + 1, -1, np.int32)
    stops = labels.boxes[:, 1]
    last[labels.ids] = stops[:, 0] // piece[0] * across + stops[:, 1] // piece[1]
    return last


def _finished_with(corners: Corners, last: NDArray[np.int32], number: int) -> NDArray[np.int32]:
    known = int(corners.label.max()) < len(last)
    found = last[corners.label] if known else None
    if found is None or found.min() < number:
        raise RunError("The labels do not fit the table of objects: compute the run again with --restart")
    return found


def _batches(corners: Corners) -> Iterator[Corners]:
    """Sorted corners in batches of whole objects."""
    begins = np.append(np.flatnonzero(np.diff(corners.label, prepend=-1)), len(corners.label))
    begin = 0
    while begin < len(corners.label):
        following = np.searchsorted(begins, begin, "right")  # the next object
        end = begins[max(following, np.searchsorted(begins, begin + _BATCH, "right") - 1)]
        yield corners.take(slice(begin, end))
        begin = int(end)


def _scanned(labels: Labels, pieces: list[Window]) -> Iterator[Corners]:
    """The corners of each piece, row by row; reading, scanning and what the taker does run side by side."""
    scanners = threading.local()

    def scan(padded: NDArray[np.uint32], window: Window) -> Corners:
        if not padded.any():
            return Corners.room(0)
        if not hasattr(scanners, "scan"):
            scanners.scan = CornerScan()  # its buffer has grown already when the next piece comes
        found: Corners = scanners.scan(padded, *window.start)
        return found

    running: deque[Future[Corners]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for window, padded in _padded(labels, pieces, pool):
                running.append(pool.submit(scan, padded, window))
                if len(running) > _THREADS:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _padded(
    labels: Labels, pieces: list[Window], pool: ThreadPoolExecutor
) -> Iterator[tuple[Window, NDArray[np.uint32]]]:
    """Each piece with its labels behind one row and one column of what lies above and left of it."""
    image = labels.grid.window

    def read(window: Window) -> NDArray[np.unsignedinteger]:
        inside = window & image
        return np.zeros(inside.shape, np.uint32) if inside.empty else labels.read(inside)

    above = np.zeros(image.shape[1] + 2, np.uint32)  # its first sample lies left of the image, its last one right of it
    left = np.zeros(0, np.uint32)
    corner = np.uint32(0)
    ahead = deque(pool.submit(read, window) for window in pieces[:_THREADS])
    for number, window in enumerate(pieces):
        inside = ahead.popleft().result()
        if number + _THREADS < len(pieces):
            ahead.append(pool.submit(read, pieces[number + _THREADS]))
        padded = np.zeros([n + 1 for n in window.shape], np.uint32)
        padded[1 : 1 + inside.shape[0], 1 : 1 + inside.shape[1]] = inside
        if window.start[1] == 0:
            left, corner = np.zeros(window.shape[0], np.uint32), np.uint32(0)
        over = above[1 + window.start[1] : 1 + window.stop[1]]
        padded[0, 0], padded[0, 1:], padded[1:, 0] = corner, over, left
        left, corner = padded[1:, -1].copy(), over[-1]
        over[:] = padded[-1, 1:]
        yield window, padded
