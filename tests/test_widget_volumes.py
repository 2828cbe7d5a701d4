"""The widget on volumes, in a real window: any slice and orientation, 3D and back."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QInputDialog

from promptile.engine import doubts
from promptile.sources import open_source
from test_napari_reader import right_handed, write_series

pytestmark = pytest.mark.window

SOLID = np.zeros((24, 60, 72), np.uint8)
SOLID[4:20, 8:30, 10:40] = 1
SOLID[10:22, 32:56, 44:70] = 2


def test_a_click_means_the_same_in_every_orientation(open_desk):
    win = open_desk(SOLID)
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (2, 0, 1)):
        win.turn(order)
        win.click(12, 20, 25)
        np.testing.assert_allclose(win.scene.points.data, [(12, 20, 25)], atol=0.3)
        assert (win.preview() == (SOLID == 1)).all(), order
        win.press("N")
        win.settle()
    win.keep((15, 40, 50))
    assert ((win.labels == 1) == (SOLID == 2)).all()
    win.press("Ctrl+Z")
    win.settle()
    assert not win.labels.any()


def test_3d_and_back(open_desk):
    win = open_desk(SOLID)
    win.keep((12, 20, 25))
    win.click(15, 40, 50)
    win.preview()
    win.viewer.dims.ndisplay = 3
    tool = win.widget.ask.tools["object"]
    assert not tool.isEnabled()
    assert "3D" in tool.toolTip()
    win.press("G")
    win.settle()
    assert win.ids == [1, 2]
    win.qtbot.wait(1)
    assert len(np.unique(win.viewer.screenshot(flash=False).reshape(-1, 4), axis=0)) > 3
    win.viewer.dims.ndisplay = 2
    assert tool.isEnabled()
    for object_id, number in ((1, 1), (2, 2)):
        assert ((win.labels == object_id) == (number == SOLID)).all()
    win.press("Ctrl+Z")
    win.press("Ctrl+Z")
    win.settle()
    assert not win.labels.any()


def test_the_samples_with_the_embedded_model(open_desk):
    win = open_desk("scene", "basin")
    win.click(600, 500)
    preview = win.preview()
    assert preview[600, 500]
    small = win.desk.asking.preview.thumbnails
    assert len(small) > 1
    win.press("C")
    other = win.preview()
    assert (other != preview).any()
    assert other[600, 500]
    win.press("G")
    win.settle()
    assert ((win.labels == 1) == other).all()
    win.viewer.layers.clear()
    win.settle()
    win.viewer.open_sample("promptile", "volume")
    win.open()
    win.click(14, 60, 70)
    assert win.preview()[14, 60, 70]


def test_of_several_series_in_a_folder_one_is_chosen(open_desk, tmp_path, monkeypatch):
    for number, uid in enumerate(["1.2.3", "1.2.4"]):
        write_series(tmp_path / str(number), right_handed((5, 8, 9), seed=number), uid)
    folder = tmp_path / "both"
    folder.mkdir()
    for file in sorted(tmp_path.glob("[01]/*")):
        shutil.copy(file, folder / f"{file.parent.name}-{file.name}")
    win = open_desk()
    offered = []

    def answer(parent, title, text, listed, *_):
        offered.append(listed)
        return listed[-1], len(offered) > 1

    monkeypatch.setattr(QInputDialog, "getItem", answer)
    win.viewer.open(folder, plugin="promptile")
    assert not win.viewer.layers
    win.viewer.open(folder, plugin="promptile")
    assert [line[0] for line in offered[0]] == ["1", "2"]
    win.open()
    second = open_source(folder, series=2)
    np.testing.assert_array_equal(np.asarray(win.scene.shown.layer.data), second.read(second.grid.window)[0])
    assert win.scene.shown.source.identity == second.identity


def test_objects_are_measured_and_saved(open_desk, tmp_path):
    image = SimpleITK.GetImageFromArray(SOLID)
    image.SetSpacing((0.5, 0.5, 2))
    SimpleITK.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    win = open_desk(tmp_path / "ct.nii.gz")
    panel = win.widget.objects
    for place, said in (((12, 20, 25), "Measured 1 object"), ((15, 40, 50), "Measured 2 objects")):
        win.keep(place)
        win.press_button(panel.measure)
        win.settle()
        assert (said, False) in win.said
    names = [panel.table.headerData(n, Qt.Orientation.Horizontal) for n in range(panel.table.columnCount())]
    assert names[5:] == ["ml", "mm²", "⌀ mm", "mean", "±"]
    for row, number in enumerate((1, 2)):
        shown = [panel.table.data(panel.table.index(row, n)) for n in range(5, 10)]
        millilitres = (number == SOLID).sum() * 0.5 / 1000
        assert shown[0] == f"{millilitres:.1f}"
        assert shown[3:] == [f"{number}.0", "0.0"]
    win.widget.export.save_measures(str(tmp_path / "measures.csv"))
    win.widget.export.save(str(tmp_path / "organs.seg.nrrd"))
    win.settle()
    assert len((tmp_path / "measures.csv").read_text(encoding="utf-8").splitlines()) == 3
    saved = SimpleITK.ReadImage(str(tmp_path / "organs.seg.nrrd"))
    assert saved.GetSpacing() == image.GetSpacing()
    win.press("Ctrl+Z")
    win.settle()
    assert panel.table.rowCount() == 1


def test_an_answer_that_the_model_is_unsure_of_is_said_to_be_a_part_only(open_desk, monkeypatch):
    monkeypatch.setattr(doubts, "_UNSURE", 2)  # of all answers
    win = open_desk(SOLID)
    win.click(12, 20, 25)
    win.preview()
    assert "may be a part only: the model is unsure" in win.said[-1][0]
    assert win.widget.line.text() == win.said[-1][0]
