"""Label images as streams of polygons: what rasterio finds, whatever the pieces."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from promptile.errors import RunError
from promptile.grid import Grid, Window
from promptile.vectors.shaping import Shaping
from promptile.vectors.streams import EXACT, Labels, stream


def corner_grid(shape: tuple[int, ...]) -> Grid:
    """World coordinates as rasterio has them without a transform: integers on corners, y down."""
    return Grid.of(shape, [[0, 1, 0.5], [1, 0, 0.5], [0, 0, 1]])


def boxes_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = {n + 1: s for n, s in enumerate(ndimage.find_objects(labels.astype(np.int64))) if s is not None}
    boxes = [[[a.start for a in s], [a.stop for a in s]] for s in found.values()]
    return np.array([*found], np.int64), np.array(boxes, np.int64).reshape(-1, 2, 2)


def as_labels(labels: np.ndarray, grid: Grid | None = None) -> Labels:
    read: Callable[[Window], np.ndarray] = lambda window: labels[window.slices]  # noqa: E731
    ids, boxes = boxes_of(labels)
    return Labels(read, grid or corner_grid(labels.shape), ids, boxes, np.bincount(labels.ravel())[ids].astype(float))


def polygons(labels: Labels, piece: tuple[int, int], shaping: Shaping = EXACT) -> dict[int, shapely.MultiPolygon]:
    found = [pair for ids, shapes in stream(labels, shaping, piece) for pair in zip(ids.tolist(), shapes, strict=True)]
    assert len(found) == len(dict(found))
    return dict(found)


def expected(labels: np.ndarray) -> dict[int, shapely.MultiPolygon]:
    parts: dict[int, list[shapely.Polygon]] = {}
    for polygon, number in rasterio.features.shapes(labels.astype(np.int32), mask=labels > 0, connectivity=4):
        parts.setdefault(int(number), []).append(shapely.geometry.shape(polygon))
    return {number: shapely.MultiPolygon(found) for number, found in parts.items()}


def check(labels: np.ndarray, piece: tuple[int, int]) -> None:
    found, wanted = polygons(as_labels(labels), piece), expected(labels)
    assert found.keys() == wanted.keys()
    counts = np.bincount(labels.ravel().astype(np.int64))
    for number, geometry in found.items():
        assert shapely.is_valid(geometry)
        assert geometry.area == counts[number]
        assert shapely.normalize(geometry) == shapely.normalize(wanted[number])


def blobs(shape: tuple[int, int], size: float, seed: int = 0) -> np.ndarray:
    """Touching blobs and background, with single samples of other labels sprinkled in."""
    random = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(random.normal(size=shape), size) for _ in range(3)]
    labels = ndimage.label(smooth[0] > 0)[0] + 0
    labels[(smooth[1] > 0) & (labels > 0)] += labels.max()
    noisy = random.random(shape) < 0.01
    labels[noisy] = random.integers(0, labels.max() + 1, noisy.sum())
    _, dense = np.unique(labels, return_inverse=True)
    return dense.reshape(shape).astype(np.uint32)


images = hnp.arrays(np.uint32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4))


@settings(deadline=None)  # the first example compiles
@given(images, st.integers(1, 14), st.integers(1, 14))
def test_any_labels_in_any_pieces_equal_rasterio(labels: np.ndarray, rows: int, cols: int) -> None:
    check(labels, (rows, cols))


@pytest.mark.parametrize("piece", [(1, 1000), (37, 64), (64, 41), (1024, 2048)])
@pytest.mark.parametrize("size", [1, 6])
def test_blobs_equal_rasterio(size: int, piece: tuple[int, int]) -> None:
    check(blobs((260, 300), size), piece)


@pytest.mark.parametrize("labels", [3, 60])
def test_noise_equals_rasterio(labels: int) -> None:
    check(np.random.default_rng(1).integers(0, labels, (150, 170)).astype(np.uint32), (40, 50))


def test_an_image_of_whole_pieces() -> None:
    check(np.full((64, 128), 3, np.uint32), (32, 64))


def test_diagonal_contacts_of_objects() -> None:
    labels = np.indices((20, 30)).sum(0) % 2 + 1
    check(labels.astype(np.uint32), (7, 8))


def test_nothing_to_find() -> None:
    assert polygons(as_labels(np.zeros((30, 40), np.uint32)), (8, 8)) == {}


def test_world_coordinates() -> None:
    labels = blobs((80, 90), 5)
    grid = Grid.of(labels.shape, [[1.2, 1.6, 100], [-1.6, 1.2, 900], [0, 0, 1]])
    for number, geometry in polygons(as_labels(labels, grid), (32, 32)).items():
        assert geometry.area == pytest.approx(4 * np.count_nonzero(labels == number))
        assert all(p.exterior.is_ccw for p in geometry.geoms)
        assert shapely.contains_xy(geometry, grid.to_world(np.argwhere(labels == number))).all()


def test_neighbours_share_their_borders() -> None:
    labels = blobs((200, 200), 4) + 1
    found = [*polygons(as_labels(labels), (50, 60)).values()]
    assert shapely.union_all(found).equals(shapely.box(0, 0, 200, 200))
    assert sum(g.area for g in found) == labels.size


@pytest.mark.parametrize("wrong", ["unknown", "left of its box", "below its box"])
def test_labels_that_do_not_fit_the_table_are_an_error(wrong: str) -> None:
    image = np.zeros((100, 100), np.uint32)
    image[10:40, 10:40] = 2
    labels = as_labels(image)
    if wrong == "unknown":
        image[80, 80] = 7
    elif wrong == "below its box":
        image[40:90, 10:40] = 2
    else:
        labels.boxes[0] = [[10, 60], [11, 61]]
    with pytest.raises(RunError, match="table of objects"):
        polygons(labels, (16, 16))


def test_a_failure_of_the_reader_arrives() -> None:
    def read(window: Window) -> np.ndarray:
        if window.start[0] > 0:
            raise OSError("disk gone")
        return np.ones(window.shape, np.uint32)

    labels = Labels(read, corner_grid((100, 100)), np.array([1]), np.array([[[0, 0], [100, 100]]]), np.ones(1))
    with pytest.raises(OSError, match="disk gone"):
        polygons(labels, (16, 32))


def test_memory_does_not_grow_with_the_image() -> None:
    """Discs of one size on images of 2048² and of 8192 × 2048 samples, and as wide."""

    def drawn(shape: tuple[int, int]) -> Labels:
        across = shape[1] // 32

        def read(window: Window) -> np.ndarray:
            y, x = (np.arange(a, b) for a, b in zip(window.start, window.stop, strict=True))
            inside = ((y % 32 - 16) ** 2)[:, None] + ((x % 32 - 16) ** 2)[None] < 150
            return np.where(inside, (y // 32 * across)[:, None] + (x // 32)[None] + 1, 0).astype(np.uint32)

        corners = np.argwhere(np.ones((shape[0] // 32, across))) * 32
        return Labels(
            read,
            corner_grid(shape),
            np.arange(len(corners)) + 1,
            np.stack([corners, corners + 32], 1),
            np.ones(len(corners)),
        )

    peaks, counts = [], []
    for shape in ((512, 512), (2048, 2048), (8192, 2048), (2048, 8192)):
        labels = drawn(shape)
        tracemalloc.start()
        counts.append(sum(len(ids) for ids, _ in stream(labels, EXACT, (256, 512))))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert counts == [256, 4096, 16384, 16384]
    assert max(peaks[2:]) < 1.5 * peaks[1]
