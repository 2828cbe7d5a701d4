"""What users do to layers while the widget works on them: right, or a clear word; never a traceback."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

import desks
from desks import TRUTH, middle, squares
from promptile._napari.images import source_of
from promptile.errors import SourceError

pytestmark = pytest.mark.window


@pytest.fixture
def image(tmp_path):
    return squares(tmp_path / "squares.tif")


@pytest.fixture
def win(open_desk, image):
    return open_desk(image)


def where(*numbers):
    return np.isin(TRUTH, numbers)


def last(win):
    text, wrong = win.said[-1]
    return text if wrong else ""


def test_marks_that_say_nothing_are_answered_in_words(win):
    win.press("Q")
    win.click(*middle(5))
    win.settle()
    assert "positive" in last(win)
    assert not win.shown.any()
    win.press("G")
    assert "positive" in last(win)
    win.press("N")
    win.settle()
    win.widget.ask.take("object")
    win.look_closely((150, 150), 400)
    win.click(-20, 150)
    win.settle()
    assert "outside" in last(win)
    win.press("Ctrl+Z")
    win.settle()
    assert win.scene.empty
    win.press("G")
    assert "click" in last(win)
    win.keep(middle(5))
    assert win.ids == [1]
    assert win.widget.isVisible()


def test_boxes_at_the_edge_and_tiny_ones(win):
    win.look_closely((150, 150), 400)
    win.press_button(win.widget.ask.tools["box"])
    win.drag([(-30, -30), (95, 95)])
    assert (win.preview() == where(1)).all()
    win.press("G")
    win.settle()
    win.look_closely(middle(5), 4)
    win.drag([(138.6, 138.6), (139.4, 139.4)])
    assert (win.preview() == where(5)).all()
    win.press("G")
    win.settle()
    assert win.ids == [1, 2]
    win.press("N")
    win.viewer.scene.camera.zoom *= 50
    win.widget.ask.take("object")
    win.click(*middle(5))
    assert win.preview().any()


def test_a_model_that_fails_says_so_and_answers_the_next_click(win, caplog):
    model = desks.latest[2]
    win.click(*middle(5))
    win.preview()
    model.trouble = RuntimeError("the network is made of cheese")
    win.click(*middle(6))
    win.settle()
    assert "cheese" in last(win)
    assert not win.shown.any()
    win.press("G")
    win.settle()
    assert win.ids == []
    assert not win.scene.empty  # the marks are still there
    model.trouble = None
    win.press("N")
    win.keep(middle(5))
    assert win.ids == [1]


def test_a_model_that_cannot_be_had_changes_nothing(win):
    panel = win.widget.model
    panel.list_models("gone")  # as if it had been there
    panel.model.activated.emit(panel.model.currentIndex())
    win.settle()
    assert win.said[-1][1]
    assert panel.model.currentData() == "oracle"
    win.keep(middle(5))
    assert win.ids == [1]
    panel.model.setCurrentIndex(panel.model.findData("points-only"))
    panel.model.activated.emit(panel.model.currentIndex())
    win.settle()
    assert not win.widget.ask.tools["box"].isEnabled()
    assert "takes no box" in win.widget.ask.tools["box"].toolTip()
    win.keep(middle(6))
    assert win.ids == [1, 2]


def test_layers_that_are_renamed_moved_and_deleted(win):
    win.keep(middle(5))
    scene = win.scene
    image = scene.shown.layer
    image.name = "renamed"
    assert win.widget.image.image.currentText() == "renamed"
    scene.points.name, scene.results.layer.name = "a", "b"
    win.click(*middle(1))
    win.preview()
    image.translate = np.add(image.translate, (100, -30))
    image.rotate = 30
    win.until(lambda: np.allclose(scene.points.data_to_world(middle(1)), image.data_to_world(middle(1))))
    assert np.allclose(scene.results.layer.data_to_world(middle(1)), image.data_to_world(middle(1)))
    assert (win.preview() == where(1)).all()
    win.viewer.reset_view()
    win.click(*middle(2))
    assert (win.preview() == where(1, 2)).all()
    win.viewer.layers.remove(scene.preview.layer)
    win.press("Ctrl+Z")
    assert (win.preview() == where(1)).all()
    win.viewer.layers.remove(scene.points)
    win.until(lambda: scene.points in win.viewer.layers)
    assert not win.preview().any()
    win.viewer.layers.remove(scene.results.layer)
    win.until(lambda: scene.results.layer in win.viewer.layers)
    win.widget.ask.take("object")
    win.keep(middle(9))
    assert ((win.labels == 2) == where(9)).all()
    assert ((win.labels == 1) == where(5)).all()


def test_an_image_that_is_deleted_and_one_that_is_exchanged(win, image, open_desk):
    win.keep(middle(5))
    before = set(win.viewer.layers)
    win.viewer.layers.remove(win.scene.shown.layer)
    win.until(lambda: win.scene is None)
    win.settle()
    assert "removed" in win.said[-1][0]
    assert not set(win.viewer.layers)
    assert len(before) > 3
    win.press("G")
    win.press("Ctrl+Z")
    assert "image first" in last(win)
    desks.add(win.viewer, image)
    win.open()
    assert win.ids == [1]
    layer = win.viewer.add_image(TRUTH.copy(), name="array")
    win.widget.image.image.setCurrentIndex(win.widget.image.image.findText("array"))
    win.widget.image.image.activated.emit(0)
    win.until(lambda: win.scene is not None and win.scene.shown.layer is layer)
    win.settle()
    assert win.ids == []
    win.keep(middle(1))
    layer.data = np.rot90(TRUTH).copy()
    win.until(lambda: win.ids == [])
    win.open()
    win.keep(middle(1))
    assert ((win.labels == 1) == (layer.data == layer.data[middle(1)])).all()
    layer.data = TRUTH.copy()
    win.until(lambda: win.scene is not None and win.labels.shape == TRUTH.shape and (win.labels == 1)[middle(1)])
    win.settle()
    assert ((win.labels == 1) == where(1)).all()


def test_two_windows_on_one_image(win, open_desk, image):
    win.keep(middle(5))
    other = open_desk(image, seen=False)
    other.until(lambda: other.desk.opening is None)
    assert "in use" in last(other)
    other.viewer.add_points(np.zeros((1, 2)))  # is no reason to try again
    other.settle()
    assert [wrong for _, wrong in other.said].count(True) == 1
    win.keep(middle(1))
    assert win.ids == [1, 2]
    win.desk.leave()
    win.settle()
    other.widget.image.image.activated.emit(0)
    other.open()
    assert other.ids == [1, 2]


def test_time_is_many_images(open_desk):
    films = np.stack([TRUTH, np.flipud(TRUTH), TRUTH.T])
    win = open_desk({"data": films, "axis_labels": ("time", "y", "x")}, show=False)  # software OpenGL cannot draw it
    assert win.scene.shown.grid.shape == TRUTH.shape

    def keep(number):
        win.scene.points.add(middle(number))
        win.settle()
        win.desk.asking.accept()
        win.settle()

    keep(1)
    first = win.scene
    win.viewer.dims.set_point(0, 1)
    win.until(lambda: win.scene not in (None, first))
    win.settle()
    assert win.ids == []
    keep(1)
    assert ((win.labels == 1) == (films[1] == films[1][middle(1)])).all()
    win.viewer.dims.set_point(0, 0)
    win.scene.points.add(middle(2))  # before anything has followed
    win.until(lambda: win.scene is not None and win.scene.here)
    win.settle()
    assert win.ids == [1]
    assert ((win.labels == 1) == where(1)).all()


def test_colours_and_labels(open_desk):
    win = open_desk(np.stack([TRUTH * 25, TRUTH * 20, TRUTH * 15], axis=-1))
    win.keep(middle(5))
    assert win.scene.shown.layer.rgb
    assert ((win.labels == 1) == where(5)).all()
    labels = win.viewer.add_labels(TRUTH.astype(np.int32))
    names = [win.widget.image.image.itemText(i) for i in range(win.widget.image.image.count())]
    assert names == [win.scene.shown.layer.name]
    with pytest.raises(SourceError, match="image layer"):
        source_of(labels)
