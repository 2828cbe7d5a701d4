"""Labels on disk that can be painted: what is shown, what is taken, what is never lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("napari")

from napari.layers import Labels

from promptile._napari import paintable as module
from promptile._napari.paintable import Paintable, Part
from promptile.grid import Window
from promptile.session import Stroke


class Disk:
    """Labels that are read by window, as a run's are."""

    def __init__(self, labels) -> None:
        self.labels = np.array(labels, np.uint32)
        self.windows: list[Window] = []

    def __call__(self, window: Window) -> np.ndarray:
        self.windows.append(window)
        return self.labels[window.slices]

    def write(self, strokes: list[Stroke]) -> None:
        for stroke in strokes:
            changed = stroke.before != stroke.after
            self.labels[stroke.window.slices][changed] = stroke.after[changed]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "LABEL_SIDE", {2: 8, 3: 4})


def make(shape=(20, 30), seed=0):
    disk = Disk(np.random.default_rng(seed).integers(0, 4, shape))
    return disk, Paintable(shape, disk)


SHAPES = st.sampled_from([(9, 11), (16, 8), (5, 6, 7)])


@st.composite
def writes(draw):
    """A shape and keys into it, each with a value that numpy would take."""
    shape = draw(SHAPES)
    ints = arrays.integer_array_indices(shape, result_shape=arrays.array_shapes(max_dims=2, max_side=5))
    keys = st.one_of(arrays.basic_indices(shape, allow_newaxis=True), ints, arrays.arrays(bool, shape))
    steps = draw(st.lists(st.tuples(keys, st.integers(0, 9), st.booleans()), min_size=1, max_size=6))
    return shape, steps


@given(writes(), st.booleans())
def test_any_writes_equal_writes_on_an_array(case, part):
    shape, steps = case
    disk, whole = make(tuple(n + 5 for n in shape))
    window = Window((2,) * len(shape), shape)
    before, expected = disk.labels.copy(), disk.labels[window.slices].copy()
    labels = Part(whole, window) if part else Paintable(shape, lambda w: before[window.slices][w.slices])
    for key, value, spread in steps:
        values = np.arange(value, value + expected[key].size).reshape(expected[key].shape) if spread else value
        expected[key] = values
        labels[key] = values
        np.testing.assert_array_equal(labels[key], expected[key])
    np.testing.assert_array_equal(np.asarray(labels), expected)
    np.testing.assert_array_equal(disk.labels, before)
    painted, offset = (whole, (0,) * len(shape)) if part else (labels, window.start)
    disk.write([Stroke(s.window.shift(offset), s.before, s.after) for s in painted.taken()])
    before[window.slices] = expected
    np.testing.assert_array_equal(disk.labels, before)
    assert painted.taken() == []


def test_what_numpy_refuses_is_refused():
    _, labels = make()
    for key in [(20, 0), (0, -31), (0, 0, 0), (np.array([20]), np.array([0]))]:
        with pytest.raises(IndexError):
            labels[key]
    with pytest.raises(ValueError, match="broadcast"):
        labels[0:2, 0:2] = [1, 2, 3]
    with pytest.raises(OverflowError):
        labels[0, 0] = -1
    assert isinstance(labels[3, 4], np.uint32)
    assert (labels.ndim, labels.size, len(labels), labels.chunks) == (2, 600, 20, (8, 8))


def test_what_is_read_may_be_written_to():
    disk, labels = make()
    labels[:, :][...] = 77
    np.testing.assert_array_equal(np.asarray(labels), disk.labels)


def test_only_the_blocks_in_use_are_read_and_only_once():
    disk, labels = make((12, 12, 12))
    labels[5]
    assert len(disk.windows) == 9
    assert {w.start[0] for w in disk.windows} == {4}
    labels[6, 2:8], labels[7]
    assert len(disk.windows) == 9


def test_memory_is_bounded_and_nothing_painted_is_forgotten(monkeypatch):
    monkeypatch.setattr(module, "_IN_MEMORY", 5 * 8 * 8 * 4)
    disk, labels = make((80, 80))
    expected = disk.labels.copy()
    for y in range(0, 80, 8):
        labels[y, y] = expected[y, y] = 9
        np.testing.assert_array_equal(np.asarray(labels), expected)
        assert len(labels._blocks) <= 5 + y // 8 + 1
    disk.write(labels.taken())
    assert len(labels._blocks) <= 5
    np.testing.assert_array_equal(disk.labels, expected)


def test_empty_blocks_take_no_memory(monkeypatch):
    monkeypatch.setattr(module, "_IN_MEMORY", 0)
    disk = Disk(np.zeros((40, 40)))
    labels = Paintable((40, 40), disk)
    np.asarray(labels), np.asarray(labels)
    assert len(disk.windows) == 25
    labels[3, 3] = 1
    assert labels[3, 3] == 1


def test_a_stroke_is_as_small_as_it_can_be():
    disk, labels = make()
    labels[5:15, 6:17] = 9  # over four blocks
    labels[10, 10] = disk.labels[10, 10]
    (stroke,) = labels.taken()
    painted = disk.labels.copy()
    painted[5:15, 6:17], painted[10, 10] = 9, disk.labels[10, 10]
    assert stroke.window == Window((5, 6), (10, 11))
    np.testing.assert_array_equal(stroke.before, disk.labels[5:15, 6:17])
    np.testing.assert_array_equal(stroke.after, painted[5:15, 6:17])


def test_far_apart_is_several_strokes():
    _, labels = make((100, 100))
    labels[0, 0] = labels[99, 99] = 9
    assert [s.window for s in labels.taken()] == [Window((0, 0), (1, 1)), Window((99, 99), (1, 1))]


def test_painted_and_erased_again_is_no_stroke():
    disk, labels = make()
    labels[3, 3] = 9
    labels[3, 3] = disk.labels[3, 3]
    assert labels.taken() == []


def test_new_labels_on_disk_are_shown_and_painting_stays_on_top():
    disk, labels = make()
    np.asarray(labels)
    labels[2:4, 2:4] = 9
    disk.labels[0:10, 0:10] = 7
    np.testing.assert_array_equal(labels[12:], disk.labels[12:])
    assert (labels[0, 0], labels[3, 3]) != (7, 7)
    labels.changed(Window((0, 0), (10, 10)))
    expected = disk.labels.copy()
    expected[2:4, 2:4] = 9
    np.testing.assert_array_equal(np.asarray(labels), expected)
    (stroke,) = labels.taken()
    assert stroke.window == Window((2, 2), (2, 2))
    assert (stroke.before == 7).all()


def test_what_was_taken_is_shown_until_it_is_written(monkeypatch):
    monkeypatch.setattr(module, "_IN_MEMORY", 0)
    disk, labels = make()
    labels[2:4, 2:4] = 9
    strokes = labels.taken()
    np.asarray(labels)
    assert (labels[2:4, 2:4] == 9).all()
    labels.changed(Window((12, 12), (3, 3)))
    assert (labels[2:4, 2:4] == 9).all()
    disk.write(strokes)
    labels.changed(Window((2, 2), (1, 5)))
    labels.changed(Window((3, 1), (1, 5)))
    assert (labels[2:4, 2:4] == 9).all()
    disk.labels[2:4, 2:4] = 5  # undone
    labels.changed(Window((2, 2), (2, 2)))
    assert (labels[2:4, 2:4] == 5).all()
    assert (strokes[0].before != 9).all()


def test_it_says_when_something_is_painted():
    disk, labels = make()
    heard = []
    labels.painted.connect(lambda: heard.append(1))
    labels[0, 0] = disk.labels[0, 0]
    labels.changed(Window((0, 0), (3, 3)))
    assert not heard
    labels[0, 0] = 9
    assert heard


def test_threads_lose_nothing():
    disk, labels = make((40, 40))
    disk.labels[:] = 0
    labels.changed(Window((0, 0), (40, 40)))
    taken: list[Stroke] = []

    def paint(first):
        for i in range(first, 1600, 2):
            labels[np.unravel_index(i, (40, 40))] = i + 1

    def take():
        while any(p.is_alive() for p in painters):
            strokes = labels.taken()
            disk.write(strokes)
            for stroke in strokes:
                labels.changed(stroke.window)
            taken.extend(strokes)

    painters = [threading.Thread(target=paint, args=(first,)) for first in (0, 1)]
    taker = threading.Thread(target=take)
    for thread in [*painters, taker]:
        thread.start()
    for thread in [*painters, taker]:
        thread.join()
    disk.write(labels.taken())
    np.testing.assert_array_equal(disk.labels.ravel(), np.arange(1600) + 1)


@pytest.fixture(params=[(20, 30), (6, 20, 30)], ids=["2D", "3D"])
def layers(request):
    """napari's Labels layer over an array, and over the same on disk."""
    disk, labels = make(request.param)
    return Labels(disk.labels.copy()), Labels(labels), disk


def paint(layer):
    layer.brush_size = 7
    layer.paint((0, 9, 9)[-layer.ndim :], 11)
    layer.paint((0, 9, 14)[-layer.ndim :], 12)


def fill(layer):
    layer.contiguous = False
    layer.fill((0, 1, 1)[-layer.ndim :], 13)


def erase(layer):
    layer.brush_size = 5
    layer.paint((0, 12, 12)[-layer.ndim :], 0)


def polygon(layer):
    corners = [(0, 2, 2), (0, 2, 25), (0, 17, 20)]
    layer.paint_polygon([c[-layer.ndim :] for c in corners], 14)


def ball(layer):
    layer.n_edit_dimensions = layer.ndim
    paint(layer)


def items(layer):
    where = np.nonzero(np.asarray(layer.data) == 2)
    layer.data_setitem(where, 15)


def preserve(layer):
    layer.preserve_labels = True
    paint(layer)


@pytest.mark.parametrize("tools", [[paint], [fill], [paint, erase], [polygon], [ball, erase], [items], [preserve]])
def test_naparis_tools_do_what_they_do_on_an_array(layers, tools):
    plain, layer, disk = layers

    def same():
        np.testing.assert_array_equal(np.asarray(layer.data), plain.data)
        np.testing.assert_array_equal(layer._slice.image.raw, plain._slice.image.raw)
        disk.write(layer.data.taken())  # and so on disk, whenever it is taken
        np.testing.assert_array_equal(disk.labels, plain.data)

    for tool in tools:
        tool(plain), tool(layer)
        same()
    for step in ["undo"] * (2 * len(tools)) + ["redo"] * len(tools) + ["undo"]:
        getattr(plain, step)(), getattr(layer, step)()
        same()
