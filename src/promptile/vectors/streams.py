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
from promptile.vectors.marks import Marks
from promptile.vectors.rings import trace
from promptile.vectors.shapes import Shaper
from promptile.vectors.shaping import Shaping

PIECE = (1024, 2048)
"""Samples that are read at a time: whole blocks of labels, 8 MB."""

EXACT = Shaping()

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
    sizes : ndarray of float, shape (n,)
        Per object its area in the measure that `Shaping` means; NaN where it has none.
    """

    read: Callable[[Window], NDArray[np.unsignedinteger]]
    grid: Grid
    ids: NDArray[np.int64]
    boxes: NDArray[np.int64]
    sizes: NDArray[np.float64]


def stream(labels: Labels, shaping: Shaping = EXACT, piece: tuple[int, int] = PIECE) -> Iterator[Shapes]:
    """The objects of a label image in world coordinates, some at a time, as they are finished.

    Objects that the image does not show are left out. The geometries do not depend on `piece`, only their order does.

    Parameters
    ----------
    labels : Labels
    shaping : Shaping
        What is done to the outlines. To move them takes four bits per sample of the rows in which objects are open.
    piece : tuple of int
        Shape in which labels are read.

    Raises
    ------
    RunError
        If the labels hold an object that `labels` does not name, or one outside of its box.
    """
    pieces = list(_pieces(labels.grid.shape, piece))
    table = _Table.of(labels, shaping, piece)
    shaper = Shaper(labels.grid, shaping)
    marks = Marks(Window.of([n + 1 for n in labels.grid.shape]), labels.grid.shape)
    held: list[_Held] = []
    for number, (window, corners) in enumerate(zip(pieces, _scanned(labels, pieces), strict=True)):
        if shaping.moves:
            if window.start[1] == 0:
                marks.slide(table.lowest(number, window.start[0]), window.stop[0])
            marks.add(corners)
        if len(corners.label):
            held.append(_Held(corners, table.finished_with(corners, number)))
        ready: list[Corners] = []
        held = [rest for part in held if (rest := part.release(number, ready)) is not None]
        for batch in _batches(Corners.joined(ready).by_label()):
            batch = batch.take(table.wanted[batch.label])
            ids = batch.label[np.flatnonzero(np.diff(batch.label, prepend=-1))]
            if len(ids):
                yield ids, shaper(trace(batch), ids, table.sizes[ids], marks.sheet)


@dataclass(frozen=True, eq=False)
class _Table:
    """What is known of the objects; arrays over all ids from 0 to the largest."""

    last: NDArray[np.int32]
    """The piece with which an object is finished; -1 for ids that are none."""
    first: NDArray[np.int64]
    """Its first row."""
    sizes: NDArray[np.float64]
    wanted: NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Labels, shaping: Shaping, piece: tuple[int, int]) -> _Table:
        across = labels.grid.shape[1] // piece[1] + 1
        stops = labels.boxes[:, 1]
        room = int(labels.ids.max(initial=0)) + 1
        table = cls(np.full(room, -1, np.int32), np.zeros(room, np.int64), np.full(room, np.nan), np.ones(room, bool))
        table.last[labels.ids] = stops[:, 0] // piece[0] * across + stops[:, 1] // piece[1]
        table.first[labels.ids] = labels.boxes[:, 0, 0]
        table.sizes[labels.ids] = labels.sizes
        table.wanted[labels.ids] = shaping.keeps(labels.sizes)
        return table

    def finished_with(self, corners: Corners, number: int) -> NDArray[np.int32]:
        """Per corner the piece with which its object is finished, for corners of piece `number`."""
        known = int(corners.label.max()) < len(self.last)
        found = self.last[corners.label] if known else None
        if found is None or found.min() < number:
            raise RunError("The labels do not fit the table of objects: compute the run again with --restart")
        return found

    def lowest(self, number: int, row: int) -> int:
        """The first row of an object that is not finished before piece `number`, or `row`."""
        return int(self.first[self.last >= number].min(initial=row))


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
