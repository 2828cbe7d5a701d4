"""The widget on volumes, in a real window: any slice and orientation, 3D and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

pytestmark = pytest.mark.window

SOLID = np.zeros((24, 60, 72), np.uint8)
SOLID[4:20, 8:30, 10:40] = 1
SOLID[10:22, 32:56, 44:70] = 2


def test_a_click_means_the_same_in_every_orientation(open_desk):
    win = open_desk(SOLID)
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (2, 0, 1)):
        win.viewer.dims.order = order
        win.viewer.reset_view()
        win.click(12, 20, 25)
        np.testing.assert_allclose(win.scene.points.data, [(12, 20, 25)], atol=1.5)
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
