"""A model for images on a volume, in a real window: one slice at once, the others when they are wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets")

from qtpy.QtWidgets import QPushButton

import desks
from promptile.models.protocols import Memory, WindowPrompt
from test_widget_volumes import SOLID

pytestmark = pytest.mark.window

FIRST = SOLID == 1


@pytest.fixture
def win(open_desk):
    return open_desk(SOLID, "flat")


def follow(win, text):
    (found,) = (b for b in win.widget.ask.slices.findChildren(QPushButton) if b.text() == text)
    win.press_button(found)
    return win.preview()


def slices(first, last, axis=0):
    part = np.zeros_like(FIRST)
    here = (slice(None),) * axis + (slice(first, last + 1),)
    part[here] = FIRST[here]
    return part


def test_from_a_slice_through_all_to_the_labels(win):
    win.click(12, 20, 25)
    assert (win.preview() == slices(12, 12)).all()
    assert (follow(win, "⇆ all") == FIRST).all()
    win.press("G")
    win.settle()
    assert ((win.labels == 1) == FIRST).all()
    win.click(15, 40, 50)  # the next object begins with its slice again
    assert (win.preview() == (SOLID == 2) * np.isin(np.arange(24), [15])[:, None, None]).all()


def test_one_way_and_to_the_slice_that_is_seen(win):
    win.click(12, 20, 25)
    assert (follow(win, "⇤") == slices(0, 12)).all()
    assert (follow(win, "⇥") == slices(12, 23)).all()
    win.look_at((15, 0, 0))
    assert (follow(win, "to here") == slices(12, 15)).all()


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_slices_lie_as_they_are_seen(win, order):
    win.turn(order)
    win.click(12, 20, 25)
    axis, at = order[0], (12, 20, 25)[order[0]]
    assert (win.preview() == slices(at, at, axis)).all()
    assert (follow(win, "⇆ all") == FIRST).all()


def test_a_correction_is_followed_where_it_changes_something(win):
    model = desks.latest[3]
    win.click(12, 20, 25)
    win.preview()
    follow(win, "⇆ all")
    asked = len(model.asked)
    win.click(18, 40, 50)
    assert (win.preview() == (SOLID > 0)).all()
    assert len(model.asked) > asked
    win.press("G")
    win.settle()
    assert ((win.labels == 1) == (SOLID > 0)).all()


def test_following_is_stopped(win):
    model = desks.latest[3]
    win.click(12, 20, 25)
    win.preview()
    model.gate.clear()
    (button,) = (b for b in win.widget.ask.slices.findChildren(QPushButton) if b.text() == "⇆ all")
    win.press_button(button)
    win.until(lambda: win.desk.worker.busy)
    win.desk.asking.stop()
    model.gate.set()
    assert (win.preview() == slices(12, 12)).all()
    assert win.said[-1][1] is False


def test_models_for_volumes_have_no_slices_to_follow(open_desk):
    win = open_desk(SOLID)
    assert not win.widget.ask.slices.isVisibleTo(win.widget.ask)
    win.click(12, 20, 25)
    assert (win.preview() == FIRST).all()


class Remembering(desks.Flat):
    """The same with a memory: of where the object was in the slice before."""

    def __init__(self, ndim):
        super().__init__(ndim)
        self.card = replace(self.card, abilities=self.card.abilities | {"memory"})
        self.recalled = []

    def remember(self, known):
        return Memory(known[0].mask, self.card.digest, 1000)

    def recall(self, memory, embedding, place, way):
        self.recalled.append(place)
        on = np.argwhere(memory.content).astype(float)
        masks = self.predict(embedding, WindowPrompt(on, np.ones(len(on), bool)))
        return masks, Memory(masks.logits[0] > 0, self.card.digest, 1000)


def test_a_memory_can_be_had_of_a_model_that_has_one(open_desk, monkeypatch):
    monkeypatch.setattr(desks, "Flat", Remembering)
    win = open_desk(SOLID, "flat")
    memory = win.widget.ask.memory
    assert memory.isEnabled()
    win.click(12, 20, 25)
    win.preview()
    assert (follow(win, "⇆ all") == FIRST).all()
    assert not desks.latest[3].recalled
    memory.setChecked(True)
    assert (win.preview() == FIRST).all()
    assert desks.latest[3].recalled


def test_a_model_without_memory_says_so(win):
    memory = win.widget.ask.memory
    assert memory.isVisible()
    assert not memory.isEnabled()
    assert "no memory of slices" in memory.toolTip()
