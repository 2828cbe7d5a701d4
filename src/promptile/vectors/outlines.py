"""Masks as polygons along sample edges, exact to the sample.

The area of an object's polygons, in samples, is its number of samples; holes are kept; every polygon is valid; pieces
that touch only at a corner are polygons of their own. Memory follows the length of the outlines, not the areas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from promptile.corners import Corners, CornerScan
from promptile.grid import Grid, Window
from promptile.masks import BLOCK, ObjectMask, blocks_of
from promptile.vectors.rings import Rings, trace

Polygon = list[NDArray[np.float64]]
"""Closed rings ``(n, 2)``, the exterior first."""


def outline(mask: ObjectMask) -> list[Polygon]:
    """The polygons of a 2D mask.

    Parameters
    ----------
    mask : ObjectMask
        Of an image with axes ``(y, x)``.

    Returns
    -------
    list of polygons
        Each a list of closed rings ``(n, 2)``, exterior first, in index coordinates ``(y, x)`` on sample edges: the
        sample ``(0, 0)`` alone has corners at ±0.5. Seen with y down, exteriors run clockwise.
    """
    rings = sort(trace(corners_of(mask, CornerScan(), 1)))
    polygons: list[Polygon] = [[] for _ in rings.label]
    for polygon, begin, end in zip(rings.polygon, rings.starts[:-1], rings.starts[1:], strict=True):
        polygons[polygon].append(rings.points[begin:end] - 0.5)
    return polygons


def geometries(masks: Iterable[ObjectMask], grid: Grid) -> NDArray[np.object_]:
    """One shapely MultiPolygon per 2D mask, in world coordinates; exteriors run counterclockwise.

    Parameters
    ----------
    masks : iterable of ObjectMask
        Masks on `grid`; an empty one gives an empty MultiPolygon.
    grid : Grid
        Where the samples are; any affine.
    """
    scan = CornerScan()
    parts = [corners_of(mask, scan, number) for number, mask in enumerate(masks)]
    return to_geometries(sort(trace(Corners.joined(parts))), np.arange(len(parts)), grid)


def to_geometries(rings: Rings, labels: NDArray[np.integer], grid: Grid) -> NDArray[np.object_]:
    """One shapely MultiPolygon in world coordinates for each of the `labels` ``(n,)``, which ascend.

    `rings` are sorted by polygon, exteriors first (`sort`).
    """
    first_ring = np.searchsorted(rings.polygon, np.arange(len(rings.label) + 1))
    first_polygon = np.searchsorted(rings.label, np.append(labels, np.iinfo(np.int64).max))
    points = rings.points
    if np.linalg.det(grid.matrix[:2, :2]) > 0:  # y up: turn each ring round
        ends = rings.starts[:-1] + rings.starts[1:] - 1
        points = points[np.repeat(ends, np.diff(rings.starts)) - np.arange(len(points))]
    world = to_world(np.subtract(points, 0.5, dtype=np.float64), grid)
    shapes: NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON, world, (rings.starts, first_ring, first_polygon)
    )
    return shapes


def to_world(points: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Index coordinates ``(n, 2)`` as world coordinates, term by term.

    A product of matrices may round the same point differently in another batch, and would take most of the time.
    """
    world = np.empty_like(points)
    for axis, (down, right, offset) in enumerate(grid.matrix[:2].tolist()):
        world[:, axis] = points[:, 0] * down
        world[:, axis] += points[:, 1] * right
        world[:, axis] += offset
    return world


def sort(rings: Rings) -> Rings:
    """The rings polygon by polygon, each exterior before its holes."""
    return rings.take(np.lexsort((rings.hole, rings.polygon)))


def corners_of(mask: ObjectMask, scan: CornerScan, label: int) -> Corners:
    """The corners of a mask's outline under a label, sorted as `trace` wants them."""
    corners = Corners.joined(list(_strips(mask, scan)))
    return corners._replace(label=np.full(len(corners.row), label, np.int64))


def _strips(mask: ObjectMask, scan: CornerScan) -> Iterator[Corners]:
    """The corners of each row of blocks; of the samples only one block and the last row above are held."""
    if not mask.count:
        return
    side = BLOCK[2]
    reach = Window.between(mask.window.start, tuple(n + 1 for n in mask.window.stop))  # lattice points, ends included
    left = reach.start[1]
    above = np.zeros(1 + reach.shape[1], np.uint8)  # its first sample is the one left of the bounding box
    buffer = np.zeros((side + 1, side + 1), np.uint8)
    found: list[Corners] = []
    for part in [reach] if max(reach.shape) <= side else (block & reach for block in blocks_of(reach)):
        row, col = part.start
        padded = buffer[: part.shape[0] + 1, : part.shape[1] + 1]
        if col == left:
            yield _by_row(found)
            found, corner = [], np.uint8(0)
            padded[:, 0] = 0
        over = above[1 + col - left : 1 + col - left + part.shape[1]]
        padded[0, 0], padded[0, 1:] = corner, over
        padded[1:, 1:] = mask.read(part)
        if padded.any():
            found.append(scan(padded, row, col))
        corner = over[-1]
        over[:] = padded[-1, 1:]
        buffer[1:, 0] = buffer[1:, part.shape[1]]
    yield _by_row(found)


def _by_row(blocks: list[Corners]) -> Corners:
    """The corners of one row of blocks, row by row."""
    corners = Corners.joined(blocks)
    if len(blocks) < 2:
        return corners
    return corners.take(np.argsort(corners.row, kind="stable"))
