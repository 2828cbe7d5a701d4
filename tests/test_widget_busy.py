"""A slow model never holds the window up: what is asked meanwhile, what is stopped, and what is left at the end."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

import desks
from desks import TRUTH, middle, squares
from promptile import Run

pytestmark = pytest.mark.window


@pytest.fixture
def win(open_desk, tmp_path):
    win = open_desk(squares(tmp_path / "squares.tif"))
    win.desk.asking.look(tiling=desks.SMALL)
    win.desk.asking.set_level(0)
    win.settle()
    return win


def where(*numbers):
    return np.isin(TRUTH, numbers)


def test_of_many_clicks_only_the_newest_is_answered(win):
    model = desks.latest[2]
    win.settle()
    model.asked.clear()
    model.gate.clear()
    for number in range(1, 8):
        win.click(*middle(number))
    assert len(win.scene.points.data) == 7  # the window went on
    model.gate.set()
    assert (win.preview() == where(*range(1, 8))).all()
    counts = {len(prompt.points) for prompt in model.asked}
    assert len(counts - {0}) <= 7


def test_accept_right_after_a_click_keeps_that_object(win):
    model = desks.latest[2]
    model.gate.clear()
    for number in (5, 1, 9):
        win.click(*middle(number))
        win.press("G")
    win.click(*middle(3))
    assert win.ids == []
    model.gate.set()
    assert (win.preview() == where(3)).all()
    assert win.ids == [1, 2, 3]
    for object_id, number in ((1, 5), (2, 1), (3, 9)):
        assert ((win.labels == object_id) == where(number)).all()


def test_the_answer_to_older_marks_is_not_shown_for_new_ones(win):
    model, previews = desks.latest[2], []
    win.desk.asking.previewed.connect(lambda: previews.append(win.shown))
    model.gate.clear()
    win.click(*middle(5))
    win.press("G")
    win.click(*middle(1))
    model.gate.set()
    win.settle()
    assert (previews[-1] == where(1)).all()
    assert not any(shown[middle(5)] for shown in previews)


def test_a_run_is_stopped_within_a_second(win):
    model = desks.latest[2]
    model.seconds = 0.3
    win.widget.run.unfold()
    win.press_button(win.widget.run.start)
    win.until(lambda: model.proposed >= 1)
    win.press_button(win.widget.run.stop)
    began = time.monotonic()
    win.until(lambda: not win.desk.runs.going_on)
    assert time.monotonic() - began < 0.3 + 1
    win.keep(middle(5))
    assert win.ids == [1]


def test_closing_during_work_keeps_what_is_finished(win):
    model = desks.latest[2]
    win.keep(middle(5))
    path = win.desk.snapshot.path
    model.seconds = 0.3
    win.widget.run.unfold()
    win.press_button(win.widget.run.start)
    win.click(*middle(1))
    win.press("G")
    win.click(*middle(2))
    began = time.monotonic()
    win.end()
    assert time.monotonic() - began < 10
    assert not desks.workers()
    run = Run.open(path)
    assert run.objects["id"].tolist() == [1, 2]
    assert ((run.labels[...] == 2) == where(1)).all()


def test_closing_the_dock_alone_gives_the_viewer_back(win):
    viewer, layer = win.viewer, win.scene.shown.layer
    win.keep(middle(5))
    viewer.window.remove_dock_widget(win.dock)
    win.until(lambda: not desks.workers())
    assert list(viewer.layers) == [layer]
    layer.name = "still there"
    win.press("G")
    viewer.add_image(TRUTH)
    viewer.scene.camera.zoom *= 2
    win.qtbot.wait(600)


def test_closing_the_dock_takes_up_no_other_image(win):
    win.viewer.add_image(TRUTH + 1, name="another")
    desk, said = win.desk, win.said
    win.viewer.window.remove_dock_widget(win.dock)
    win.until(lambda: not desks.workers())
    win.qtbot.wait(300)
    assert desk.opening is None
    assert not any("another" in text for text, _ in said)
