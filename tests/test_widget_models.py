"""Models in a real window: those whose weights are not here are fetched, with consent where it is needed."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

from desks import middle, squares
from promptile import report
from promptile._napari.widget import model_panel, weights
from promptile.models import downloading
from promptile.models.published import Facts, Published
from test_fetching import CONTENT, SHA, Server, server  # noqa: F401  a fixture

pytestmark = pytest.mark.window


@pytest.fixture
def open_with(open_desk, server, monkeypatch, tmp_path):  # noqa: F811
    """Makes a window in which the weights of `points-only` lie on a server of ours."""

    def make(licence: str):
        wanted = Published(
            model="points-only",
            files=("p.pth",),
            url=f"{server}/p.pth",
            licence=licence,
            terms="http://terms",
            sha256=SHA,
        )
        for module in (report, model_panel, weights):
            monkeypatch.setattr(module, "all_published", lambda: {"points-only": wanted})
        return open_desk(squares(tmp_path / "squares.tif"))

    return make


def choose(win, name):
    panel = win.widget.model
    panel.model.setCurrentIndex(panel.model.findData(name))
    panel.model.activated.emit(panel.model.currentIndex())
    win.settle()
    return panel


def test_weights_are_fetched_and_used_while_clicks_are_answered(open_with):
    win = open_with("MIT")
    panel = choose(win, "points-only")
    assert "weights not here" in panel.model.currentText()
    assert "oracle answers" in panel.about.text()
    assert not panel.weights.consent.isVisibleTo(panel)
    win.keep(middle(5))
    assert win.ids == [1]
    assert win.desk.snapshot.card.name == "oracle"
    win.press_button(panel.weights.fetch)
    win.until(lambda: win.desk.snapshot.card.name == "points-only")
    assert panel.model.currentText() == "points-only"
    assert not panel.weights.fetch.isVisibleTo(panel)
    assert not panel.weights.bar.isVisibleTo(panel)
    win.keep(middle(6))
    assert win.ids == [1, 2]


def test_a_licence_that_binds_is_agreed_to_first(open_with):
    win = open_with("AGPL-3.0")
    panel = choose(win, "points-only")
    assert panel.weights.consent.isVisibleTo(panel)
    assert "AGPL-3.0" in panel.weights.consent.text()
    assert not panel.weights.fetch.isEnabled()
    panel.weights.consent.setChecked(True)
    win.press_button(panel.weights.fetch)
    win.until(lambda: win.desk.snapshot.card.name == "points-only")
    assert not panel.weights.consent.isVisibleTo(panel)


def test_fetching_that_fails_says_why_and_goes_on_later(open_with, monkeypatch):
    win = open_with("MIT")
    monkeypatch.setattr(Server, "break_after", 100_000)
    panel = choose(win, "points-only")
    win.press_button(panel.weights.fetch)
    win.until(lambda: not win.desk.fetching.going_on)
    assert any(wrong and "goes on from there" in text for text, wrong in win.said)
    assert win.desk.snapshot.card.name == "oracle"
    monkeypatch.setattr(Server, "break_after", None)
    win.press_button(panel.weights.fetch)
    win.until(lambda: win.desk.snapshot.card.name == "points-only")
    assert Server.asked == [None, "bytes=100000-"]
    assert len(CONTENT) > 100_000


def test_fetching_is_stopped(open_with, monkeypatch):
    win = open_with("MIT")
    gate = threading.Event()

    def slowly(answer):
        gate.wait(30)
        yield answer.read(1000)
        yield answer.read()

    monkeypatch.setattr(downloading, "_pieces", slowly)
    panel = choose(win, "points-only")
    win.press_button(panel.weights.fetch)
    assert panel.weights.bar.isVisibleTo(panel)
    win.press_button(panel.weights.stop)
    gate.set()
    win.until(lambda: panel.weights.fetch.isVisibleTo(panel))
    assert ("Stopped: fetching goes on from here", False) in win.said
    assert win.desk.snapshot.card.name == "oracle"


def test_another_device_loads_the_model_anew(open_desk, tmp_path):
    win = open_desk(squares(tmp_path / "squares.tif"))
    win.keep(middle(5))
    panel = win.widget.model
    panel.device.setCurrentIndex(panel.device.findData("cpu"))
    panel.device.activated.emit(panel.device.currentIndex())
    win.settle()
    win.keep(middle(6))
    assert win.ids == [1, 2]
    assert win.desk.snapshot.card.name == "oracle"
    widget = win.widget
    for each in (widget.image, widget.model, widget.ask, widget.objects, widget.run, widget.export):
        each.unfold()
        assert each.minimumSizeHint().width() <= 330, each.title.text()  # or it is cut off at the right


def test_a_model_that_does_not_fit_the_memory_says_so(open_desk, tmp_path, monkeypatch):
    win = open_desk(squares(tmp_path / "squares.tif"))
    facts = Facts(family="test", parameters=1, megabytes=1, seconds=1, gigabytes=1e6, citation="")
    wanted = Published(model="points-only", files=("p.pth",), url="", licence="MIT", facts=facts)
    monkeypatch.setattr(model_panel, "all_published", lambda: {"points-only": wanted})
    choose(win, "points-only")
    assert any(wrong and "needs about 1e+06 GB of memory" in text for text, wrong in win.said)
    assert win.desk.snapshot.card.name == "points-only"
