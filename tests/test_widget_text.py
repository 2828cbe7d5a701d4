"""Objects by name in a real window: found in the background, sifted, reviewed, taken."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

from desks import TRUTH, Seer, middle, squares
from promptile._napari.images import view_window

pytestmark = pytest.mark.window


@pytest.fixture
def win(open_desk, tmp_path):
    window = open_desk(squares(tmp_path / "squares.tif"))
    window.widget.run.unfold()
    return window


def look_for(win, phrases, least=None):
    panel = win.widget.run
    panel.what.value = "text"
    panel.text.phrases.setText(phrases)
    panel.text.detector.setCurrentText("seer")
    if least is not None:
        panel.text.least.setValue(least)
    win.press_button(panel.start)
    win.until(lambda: not win.desk.runs.going_on)
    win.settle()


def seen(win):
    """The values of the image that are shown as found, with the colours they have."""
    (layer,) = win.desk.runs.found
    labels = np.asarray(layer.data)
    colours = {int(n): tuple(layer.get_color(n)) for n in np.unique(labels[labels > 0])}
    return {int(TRUTH[labels == n][0]): colours[n] for n in colours if colours[n][3] > 0}


def test_objects_by_name_are_found_sifted_and_taken(win):
    look_for(win, "odd, even")
    assert sorted(seen(win)) == [3, 4, 5, 6, 7, 8, 9]
    assert len(set(seen(win).values())) == 2
    assert seen(win)[3] == seen(win)[5] != seen(win)[4]
    looks = Seer.looks
    win.widget.run.text.least.setValue(70)
    assert sorted(seen(win)) == [7, 8, 9]
    win.press_button(win.widget.run.take)
    win.settle()
    assert sorted(state.record.category for state in win.states.values()) == ["even", "odd", "odd"]
    assert Seer.looks == looks


def test_a_text_in_two_spellings_is_looked_for_once(win):
    look_for(win, "odd, Odd,  ODD")
    assert sorted(seen(win)) == [3, 5, 7, 9]
    assert len(set(seen(win).values())) == 1
    looks = Seer.looks
    look_for(win, "odd")  # the same run
    assert Seer.looks == looks


def test_another_threshold_needs_no_other_look(win):
    look_for(win, "odd")
    assert sorted(seen(win)) == [3, 5, 7, 9]
    looks = Seer.looks
    look_for(win, "odd", least=16)
    assert sorted(seen(win)) == [3, 5, 7, 9]
    assert Seer.looks == looks
    look_for(win, "odd", least=5)  # less than what was kept
    assert sorted(seen(win)) == [1, 3, 5, 7, 9]
    assert Seer.looks > looks


def test_what_was_found_is_walked_through(win):
    look_for(win, "even", least=60)
    win.press_button(win.widget.run.review)
    win.settle()
    assert win.desk.reviewing.proposed.category == "even"
    assert win.desk.reviewing.proposed.left == 2
    win.press("Y")
    win.settle()
    win.press("U")
    win.settle()
    assert [state.record.category for state in win.states.values()] == ["even"]
    assert win.desk.reviewing.proposed is None


def test_text_in_view_only(win):
    win.look_closely(middle(1), 150)
    win.widget.run.where.value = "view"
    look_for(win, "odd, even", least=0)
    window = view_window(win.viewer, win.scene.shown)
    in_view = [n for n in range(1, 10) if window.holds(np.array([middle(n)], float)).all()]
    assert sorted(seen(win)) == in_view
    assert 1 <= len(in_view) < 9


def test_what_cannot_be_looked_for_is_said(win):
    panel = win.widget.run
    panel.what.value = "text"
    win.press_button(panel.start)
    assert "text is empty" in win.said[-1][0].lower()
    panel.text.phrases.setText("odd")
    panel.text.detector.setCurrentText("oracle")
    win.press_button(panel.start)
    win.until(lambda: not win.desk.runs.going_on)
    assert any(wrong and "oracle" in text for text, wrong in win.said)
