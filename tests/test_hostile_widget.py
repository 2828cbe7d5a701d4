"""The widget in a real window, in hands that do what nobody thought of."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import textwrap
from copy import deepcopy

import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

from desks import TRUTH, middle, squares

pytestmark = pytest.mark.window


@pytest.fixture
def win(open_desk, tmp_path):
    return open_desk(squares(tmp_path / "ünï code.tif"))


def test_an_image_is_opened_again_and_drawn(tmp_path):
    """In a process of its own: without care, software OpenGL ends it."""
    script = """
        import sys, time
        from pathlib import Path
        import napari, numpy as np
        from napari.layers import Shapes
        from qtpy.QtWidgets import QApplication
        from promptile._napari.settings import Settings
        Settings.read = classmethod(lambda cls: Settings("basin", "auto", Path(sys.argv[1])))
        from promptile._napari.widget import PromptileWidget

        def spin(seconds, done=lambda: False):
            end = time.monotonic() + seconds
            while time.monotonic() < end and not done():
                QApplication.processEvents()
                time.sleep(0.005)

        viewer = napari.Viewer(show=True)
        layer = viewer.add_image(np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8))
        widget = PromptileWidget(viewer)
        viewer.window.add_dock_widget(widget)
        for _ in range(2):
            spin(60, lambda: widget.desk.scene is not None)
            spin(0.7)
            widget.desk.open(layer)
        spin(60, lambda: widget.desk.scene is not None)
        spin(0.7)
        viewer.close()
        print("fine")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "fine" in done.stdout


def test_work_goes_on_after_an_image_was_opened_again(win):
    win.keep(middle(5))
    for _ in range(2):
        win.desk.open(win.scene.shown.layer)
        win.until(lambda: win.scene is not None)
        win.settle()
        win.qtbot.wait(100)
    win.keep(middle(1))
    assert win.ids == [1, 2]
    assert (win.labels[TRUTH == 1] == 2).all()


def test_an_image_is_opened_several_times_at_once(win):
    win.keep(middle(5))
    layer = win.scene.shown.layer
    other = win.viewer.add_image(TRUTH[::2].copy())
    for wanted in (layer, other, layer, layer):
        win.desk.open(wanted)
    win.until(lambda: win.scene is not None)
    win.settle()
    assert not [text for text, wrong in win.said if wrong]
    assert win.ids == [1]


def test_a_draft_that_cannot_be_read_can_be_moved_away(win):
    win.keep(middle(5))
    layer, draft = win.scene.shown.layer, win.desk._session.run.path / "draft.json"
    draft.write_text('{"half')
    win.desk.open(layer)
    win.until(lambda: win.desk.opening is None)
    assert "draft.json is missing or damaged: move it elsewhere to go on without it" in win.said[-1][0]
    draft.unlink()
    win.desk.open(layer)
    win.until(lambda: win.scene is not None)
    win.settle()
    assert win.ids == [1]


def test_the_layer_of_objects_is_duplicated(win):
    win.keep(middle(5))
    copied = deepcopy(win.scene.results.layer.as_layer_data_tuple())
    win.keep(middle(1))
    assert ((copied[0] == 1) == (TRUTH == 5)).all()
    assert (copied[0] <= 1).all()


def test_a_full_disk_is_said_in_the_window_and_what_was_clicked_is_not_lost(win, monkeypatch):
    def full(_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    win.click(*middle(5))
    win.preview()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        win.press("G")
        win.settle()
    said, wrong = next((said, wrong) for said, wrong in win.said if "No space" in said)
    assert wrong
    assert re.search(r"\.run\.zarr/.+ cannot be written: No space left on device \(.+ free\)\. Make space there", said)
    assert not win.ids
    win.press("G")
    win.settle()
    assert win.ids
    assert ((win.labels > 0) == (TRUTH == 5)).all()
