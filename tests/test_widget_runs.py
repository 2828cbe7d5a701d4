"""Runs in the background, their review, files for others, and coming back, in a real window."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

import geopandas
import rasterio
from napari._qt.dialogs.qt_activity_dialog import QtActivityDialog
from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar

import desks
from desks import TRUTH, middle, squares
from promptile import segment
from promptile.prompts.reading import read_prompts
from promptile.sources import open_source

pytestmark = pytest.mark.window


@pytest.fixture
def image(tmp_path):
    return squares(tmp_path / "squares.tif")


def start(win, where="image"):
    panel = win.widget.run
    panel.unfold()
    panel.where.value = where
    win.press_button(panel.start)


def finished(win):
    win.until(lambda: not win.desk.runs.going_on)
    win.settle()


def proposals(win):
    (layer,) = win.desk.runs.found
    return np.asarray(layer.data)


def same_partition(some, others):
    pairs = np.unique(np.stack([some.ravel(), others.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_everything_in_view_then_review_by_keys_then_all(open_desk, image):
    win = open_desk(image)
    win.look_closely(middle(1), 150)
    start(win, "view")
    finished(win)
    found = proposals(win)
    seen = np.unique(TRUTH[found > 0])
    assert seen.tolist() == [1, 2, 4, 5]
    win.press_button(win.widget.run.review)
    win.settle()
    assert win.widget.run.proposal.isVisible()
    first = win.desk.reviewing.proposed
    win.press("Y")
    win.settle()
    assert win.ids == [1]
    assert win.desk.reviewing.proposed.id != first.id
    second = win.desk.reviewing.proposed.id
    win.press("J")
    win.settle()
    assert win.desk.reviewing.proposed.id not in (first.id, second)
    win.press("K")
    win.settle()
    assert win.desk.reviewing.proposed.id == second
    left = win.desk.reviewing.proposed.left
    win.press("U")
    win.settle()
    assert win.ids == [1]
    assert win.desk.reviewing.proposed.left == left - 1
    win.press("Ctrl+Z")  # the rejection
    win.settle()
    win.press("W")
    win.settle()
    assert win.ids == [1, 2]
    win.desk.reviewing.end()
    for object_id in (1, 2):
        win.desk.objects.delete([object_id])
    win.press_button(win.widget.run.take)
    win.settle()
    assert same_partition(win.labels, found)


def test_a_run_is_stopped_and_gone_on_with_while_clicks_are_answered(open_desk, image):
    win = open_desk(image)
    win.desk.asking.set_level(0)
    win.desk.asking.look(tiling=desks.SMALL)
    win.settle()
    model = desks.latest[2]
    panel = win.widget.run
    model.seconds = 0.1
    start(win)
    win.until(lambda: model.proposed >= 3)
    dialog = win.viewer.window._qt_window.findChild(QtActivityDialog)
    bars = [bar.description_label.text() for bar in dialog.findChildren(QtLabeledProgressBar)]
    assert any("Promptile" in text for text in bars)
    win.click(*middle(5))
    win.until(lambda: win.shown.any() and win.desk.asking.preview.whole)
    assert win.desk.runs.going_on
    assert ((win.shown > 0) == (TRUTH == 5)).all()
    win.press_button(panel.stop)
    finished(win)
    done = model.proposed
    assert not win.desk.runs.found
    win.press("N")
    win.settle()
    assert panel.again.isVisible()
    model.seconds = 0
    win.press_button(panel.again)
    finished(win)
    assert same_partition(proposals(win), TRUTH)
    assert not panel.again.isVisible()
    whole = model.proposed
    assert whole > done
    start(win)  # the same once more: nothing is computed
    finished(win)
    assert model.proposed == whole


def test_a_worker_that_reports_faster_than_the_window_draws_does_not_nest_its_reports(open_desk, image):
    """napari's progress bars handle the window's events with every step."""
    win = open_desk(image)
    runs, bar, told = win.desk.runs, win.widget.run.bar, []
    runs.progressed.connect(lambda what, done, total: told.append(done))
    for done in range(2000):
        win.desk.bridge.deliver(lambda done=done: runs.progressed.emit("tiles", done, 2000))
    win.until(lambda: told and told[-1] == 1999)
    assert told == list(range(2000))
    assert bar.value() == 1999
    for done in range(2000):
        win.desk.bridge.deliver(lambda done=done: runs.progressed.emit("tiles", done, 2000), instead_of=runs)
    win.until(lambda: len(told) > 2000 and told[-1] == 1999)
    assert len(told) == 2001
    runs.ended.emit()


def test_prompts_of_a_layer_are_run_over_the_image(open_desk, image):
    win = open_desk(image)
    points = win.viewer.add_points(win.scene.shown.to_world([middle(2), middle(7)]), size=8, name="mine", scale=(1, 1))
    panel = win.widget.run
    panel.unfold()
    panel.what.value = "prompts"
    panel.points.value = points
    win.press_button(panel.start)
    finished(win)
    assert same_partition(proposals(win), np.where(np.isin(TRUTH, (2, 7)), TRUTH, 0))


def test_what_is_saved_is_what_the_command_line_gives(open_desk, image, tmp_path):
    win = open_desk(image)
    category = win.widget.ask.category
    for number, text in ((5, "roof"), (1, "ROOF"), (9, "Roof ")):  # one category, and the panel shows how it is written
        category.setEditText(text)
        win.keep(middle(number))
        assert category.currentText() == "roof"
    panel = win.widget.export
    panel.save(str(tmp_path / "objects.gpkg"))
    panel.save(str(tmp_path / "labels.tif"))
    panel.save_prompts(str(tmp_path / "prompts.geojson"))
    win.settle()
    saved = geopandas.read_file(tmp_path / "objects.gpkg")
    source = open_source(image)
    prompts = read_prompts(tmp_path / "prompts.geojson", source.grid)
    assert [prompt.category for prompt in prompts] == ["roof"] * 3
    run = segment(source, prompts, model=desks.Oracle(2), level=0)
    run.write(tmp_path / "again.gpkg")
    again = geopandas.read_file(tmp_path / "again.gpkg")
    assert saved.crs == again.crs
    assert saved.geometry.geom_equals(again.geometry).all()
    same = ["id", "category", "score", "area_m2"]
    assert saved[same].equals(again[same])
    assert (run.labels[...] == win.labels).all()
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert (file.read(1) == win.labels).all()


def test_all_is_there_when_the_window_is_opened_again(open_desk, image, tmp_path):
    win = open_desk(image)
    win.keep(middle(5))
    win.desk.objects.recolour([1], "#00ff00")
    win.desk.objects.rename([1], "Straße")
    win.click(*middle(1))
    win.preview()
    before = win.labels
    win.end()
    assert not desks.workers()
    win = open_desk(image)
    win.settle()
    assert (win.labels == before).all()
    assert win.states[1].record.category == "Straße"
    assert (win.preview() == (TRUTH == 1)).all()  # what was not accepted yet
    win.press("G")
    win.settle()
    assert win.ids == [1, 2]
    for left in ([1], [1], [1], []):
        win.press("Ctrl+Z")
        win.settle()
        assert win.ids == left
    assert not win.labels.any()
