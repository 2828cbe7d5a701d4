"""The widget in a real window: click, see, accept, correct, take back, run, review, save, come back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

from qtpy.QtCore import Qt

import desks
from desks import TRUTH, middle, squares
from promptile._napari.marks import is_positive

pytestmark = pytest.mark.window


@pytest.fixture
def win(open_desk, tmp_path):
    return open_desk(squares(tmp_path / "squares.tif"))


def where(*numbers):
    return np.isin(TRUTH, numbers)


def test_from_the_first_click_to_the_last_undo(win):
    win.click(*middle(5))
    assert (win.preview() == where(5)).all()
    assert not win.labels.any()
    win.press("G")
    win.settle()
    assert ((win.labels == 1) == where(5)).all()
    assert not win.shown.any()
    assert win.scene.empty
    win.keep(middle(1))
    assert win.ids == [1, 2]
    win.press("Ctrl+Z")
    win.settle()
    assert win.ids == [1]
    assert ((win.labels > 0) == where(5)).all()
    win.press("Ctrl+Shift+Z")
    win.settle()
    assert win.ids == [1, 2]
    assert ((win.labels == 2) == where(1)).all()


def test_a_mark_is_taken_back_before_a_step(win):
    win.keep(middle(5))
    win.click(*middle(1))
    win.click(*middle(2))
    assert (win.preview() == where(1, 2)).all()
    win.press("Ctrl+Z")
    assert (win.preview() == where(1)).all()
    win.press("Ctrl+Z")
    assert not win.preview().any()
    assert win.ids == [1]
    win.press("Ctrl+Z")
    win.settle()
    assert win.ids == []


def test_points_beside_boxes_and_areas(win):
    oracle = desks.latest[2]
    win.click(*middle(5))
    win.press("Q")
    assert not is_positive(win.scene.points)
    assert win.widget.ask.tools["other"].isChecked()
    win.click(*middle(6))
    win.preview()
    assert oracle.asked[-1].labels.tolist() == [True, False]
    assert [str(symbol) for symbol in win.scene.points.symbol] == ["disc", "x"]
    win.press("N")
    win.settle()
    assert win.scene.empty
    win.press_button(win.widget.ask.tools["box"])
    win.drag([(6, 6), (94, 94)])
    assert (win.preview() == where(1)).all()
    np.testing.assert_allclose(win.scene.prompts().objects[0].box, [(6, 6), (94, 94)], atol=1)
    win.press("G")
    win.settle()
    win.press_button(win.widget.ask.tools["area"])
    for corner in [(105, 10), (105, 80), (150, 80)]:
        win.click(*corner)
    win.press("Escape")
    win.preview()
    assert win.scene.prompts().objects[0].kind == "mask"


def test_painting_is_part_of_the_object(win):
    win.keep(middle(5))
    win.keep(middle(1))
    panel = win.widget.objects
    panel.select(1)
    win.press_button(panel.brush)
    layer = win.scene.results.layer
    assert win.viewer.layers.selection.active is layer
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    layer.brush_size = 9
    before = win.labels
    win.drag([(170, 139), (180, 139)])
    win.until(lambda: win.states[1].edited)
    win.settle()
    painted = win.labels != before
    assert 50 < painted.sum() < 400
    assert (win.labels[painted] == 1).all()
    assert win.states[1].record.count == (win.labels == 1).sum()
    win.press("Ctrl+Z")
    win.settle()
    assert (win.labels == before).all()
    assert not win.states[1].edited
    win.press("Ctrl+Shift+Z")
    win.settle()
    assert ((win.labels != before) == painted).all()
    win.drag([(176, 110), (176, 90)])  # undone at once, before it is kept
    win.press("Ctrl+Z")
    win.settle()
    assert ((win.labels != before) == painted).all()


def test_the_table_renames_flies_and_deletes(win):
    for number in (5, 1, 9):
        win.keep(middle(number))
    panel = win.widget.objects
    names = ["Gebäude „Süd“", 'it\'s; a "quote" & <b>more</b>', ""]
    for row, name in enumerate(names):
        index = panel.view.model().index(row, 1)
        panel.view.model().setData(index, name, Qt.ItemDataRole.EditRole)
        win.settle()
    assert [state.record.category for state in win.states.values()] == names
    win.desk.objects.recolour([2], "#ff0000")
    win.settle()
    assert np.allclose(win.scene.results.layer.get_color(2), (1, 0, 0, 1))
    win.viewer.scene.camera.zoom = 20
    panel.view.setFocus()
    win.qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=panel.centre_of(3))
    centre = win.scene.shown.to_index([win.viewer.scene.camera.center[-2:]])[0]
    np.testing.assert_allclose(centre, middle(9), atol=1)
    panel.select(1)
    win.press_button(panel.remove)
    win.settle()
    assert win.ids == [2, 3]
    assert not (win.labels == 1).any()
    win.press("Ctrl+Z")
    win.settle()
    assert win.ids == [1, 2, 3]


def test_an_object_is_corrected_by_its_marks(win):
    win.keep(middle(5))
    panel = win.widget.objects
    win.click(*middle(9))  # is dropped
    win.preview()
    panel.select(1)
    win.press_button(panel.correct)
    assert (win.preview() == where(5)).all()
    assert "Replace 1" in win.widget.ask.accept.text()
    win.press("Ctrl+Z")  # not the object, but the wish to correct it
    win.settle()
    assert win.scene.empty
    assert win.ids == [1]
    panel.select(1)
    win.press_button(panel.correct)
    win.preview()
    win.click(*middle(6))
    assert (win.preview() == where(5, 6)).all()
    win.press("G")
    win.settle()
    assert win.ids == [1]
    assert ((win.labels == 1) == where(5, 6)).all()
