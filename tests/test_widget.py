"""The widget in a real window: click, see, accept, correct, take back, run, review, save, come back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

from affine import Affine

import desks
from desks import Window
from kinds import write_tif
from test_run import scene

pytestmark = pytest.mark.window


@pytest.fixture
def window(make_napari_viewer, qtbot, npe2pm, monkeypatch, tmp_path):
    """Makes a window with the widget: ``window(path_or_array, model)``."""
    made = []

    def make(image, model: str = "oracle") -> Window:
        desks.install(monkeypatch, tmp_path / "sessions", model)
        viewer = make_napari_viewer(show=True)
        viewer.window._qt_window.resize(1300, 850)
        if isinstance(image, str):
            viewer.open_sample("promptile", image)
        elif isinstance(image, np.ndarray):
            viewer.add_image(image)
        elif image is not None:
            viewer.open(image, plugin="promptile")
        made.append(Window(viewer, qtbot))
        if image is not None:
            made[-1].open()
        return made[-1]

    with npe2pm.tmp_plugin(package="promptile"):
        yield make
        for win in made:
            win.end()
        made.clear()


@pytest.fixture
def squares(tmp_path):
    """A GeoTIFF of nine squares of 60 x 60 samples, each of its own value."""
    path = tmp_path / "squares.tif"
    write_tif(path, np.kron(scene(), np.ones((2, 2), np.uint8))[None], transform=Affine(0.5, 0, 5e5, 0, -0.5, 45e5))
    return path


TRUTH = np.kron(scene(), np.ones((2, 2), np.uint8))


def middle(number: int) -> tuple[int, int]:
    return 49 + 90 * ((number - 1) // 3), 49 + 90 * ((number - 1) % 3)


def test_from_the_first_click_to_the_last_undo(window, squares):
    win = window(squares)
    win.click(*middle(5))
    assert (win.preview() == (TRUTH == 5)).all()
    assert not win.labels.any()
    win.press("G")
    win.settle()
    assert ((win.labels == 1) == (TRUTH == 5)).all()
    assert not win.shown.any()
    assert win.scene.empty
    win.click(*middle(1))
    win.preview()
    win.press("G")
    win.settle()
    assert win.ids == [1, 2]
    win.press("Ctrl+Z")
    win.settle()
    assert win.ids == [1]
    assert ((win.labels > 0) == (TRUTH == 5)).all()
    win.press("Ctrl+Shift+Z")
    win.settle()
    assert win.ids == [1, 2]
