"""Runs over the view, an area or the whole image, and the review of what they found."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, SpinBox
from napari.layers import Layer, Points, Shapes
from napari.utils import progress
from qtpy.QtWidgets import QLabel, QProgressBar, QWidget

from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import Panel, button, column, form, row
from promptile._napari.widget.runs import Wish
from promptile._napari.widget.text_form import TextForm
from promptile.errors import PromptileError
from promptile.session import Request

_WHERE = [("what is in view", "view"), ("an area", "area"), ("the whole image", "image")]
_KEEP = [("the better of two", "best"), ("wholes", "whole"), ("parts", "part"), ("both, as a hierarchy", "all")]
_EVERYTHING, _PROMPTS, _TEXT = "everything", "prompts", "text"
_NONE = "none"


class RunPanel(Panel):
    """What is run, where, and what came of it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("Run over many tiles", folded=True)
        self._desk = desk
        self._task: Any = None
        self.what = ComboBox(
            choices=[_EVERYTHING, _PROMPTS, _TEXT], tooltip="All objects, those that marks ask for, or by name"
        )
        self.points = ComboBox(choices=self._layers(Points), tooltip="Points: each positive one is an object")
        self.shapes = ComboBox(choices=self._layers(Shapes), tooltip="Boxes and areas: each one is an object")
        self.where = ComboBox(choices=_WHERE, value="image", tooltip="Where objects are wanted")
        self.area = ComboBox(choices=self._layers(Shapes), tooltip="The layer whose shapes are the area")
        self.keep = ComboBox(choices=_KEEP, value="best", tooltip="What is kept of objects that hold one another")
        self.smallest = SpinBox(value=0, max=10**8, tooltip="Smaller objects are left out, in samples")
        self.rows: dict[str, Any] = {
            "What": self.what,
            "Points": self.points,
            "Boxes": self.shapes,
            "Where": self.where,
            "Area": self.area,
            "Keep": self.keep,
            "Smallest": self.smallest,
        }
        self.text = TextForm(desk)
        self.form = form([(text, widget.native) for text, widget in self.rows.items()])
        self.start = button("▶ Run", "Run in the background; go on clicking meanwhile", self._start)
        self.stop = button("■ Stop", "Stop after this tile; the same run goes on from there", desk.runs.cancel)
        self.bar = QProgressBar()
        self.again = button("Go on with the interrupted run", "Compute what is missing", self._go_on)
        self.take = button("Take all", "Make all that was found objects of yours", self._take)
        self.review = button("Review", "Walk through what was found: keep, reject, correct", desk.reviewing.begin)
        self.proposal = _Proposal(desk)
        self._lay_out()
        self._listen()
        self._arrange()
        self._on_end()
        self._on_remembered()

    def _lay_out(self) -> None:
        start, found = row(self.start, self.stop), row(self.take, self.review)
        for widget in (self.form, self.text, start, self.bar, self.again, found, self.proposal):
            self.inside.addWidget(widget)

    def _listen(self) -> None:
        for widget in (self.what, self.where):
            widget.changed.connect(self._arrange)
        for event in self._layer_events():
            event.connect(self._list_layers)
        runs = self._desk.runs
        runs.progressed.connect(self._on_progress)
        runs.ended.connect(self._on_end)
        runs.remembered.connect(self._on_remembered)

    def close_panel(self) -> None:
        """Listen no more."""
        for event in self._layer_events():
            event.disconnect(self._list_layers)
        self._on_end()

    def wish(self) -> Wish:
        """What was chosen."""
        by_prompts = self.what.value != _EVERYTHING
        named = self.text.named if self.what.value == _TEXT else None
        return Wish(
            points=self._chosen(self.points) if by_prompts else None,
            shapes=self._chosen(self.shapes) if by_prompts else None,
            where=self.where.value,
            area=self._chosen(self.area),
            keep=self.keep.value,
            min_region=self.smallest.value,
            named=named,
        )

    def _layer_events(self) -> list[Any]:
        events = self._desk.viewer.layers.events
        return [events.inserted, events.removed, events.reordered]

    def _layers(self, kind: type[Layer]) -> Any:
        def choices(_widget: Any = None) -> list[tuple[str, Any]]:
            layers = [layer for layer in self._desk.viewer.layers if isinstance(layer, kind)]
            return [(_NONE, None), *((layer.name, layer) for layer in layers)]

        return choices

    def _list_layers(self, event: Any = None) -> None:
        for widget in (self.points, self.shapes, self.area):
            widget.reset_choices()

    @staticmethod
    def _chosen(widget: ComboBox) -> Any:
        return widget.value

    def _arrange(self, _value: Any = None) -> None:
        """Show the fields that count."""
        everything = self.what.value == _EVERYTHING
        shown = {
            "Points": not everything,
            "Boxes": not everything,
            "Area": self.where.value == "area",
            "Keep": everything,
            "Smallest": everything,
        }
        layout = self.form.layout()
        for text, visible in shown.items():
            layout.setRowVisible(self.rows[text].native, visible)
        self.text.setVisible(self.what.value == _TEXT)

    def _start(self) -> None:
        try:
            wish = self.wish()
        except PromptileError as error:
            self._desk.told.emit(str(error), True)
            return
        if self.what.value == _PROMPTS and wish.points is None and wish.shapes is None:
            self._desk.told.emit("Choose a layer of points or boxes, or run everything", True)
            return
        self._desk.runs.begin(wish)

    def _go_on(self) -> None:
        if self._desk.runs.unfinished:
            self._desk.runs.go_on(self._desk.runs.unfinished[0])

    def _take(self) -> None:
        self._desk.runs.take_all(self._desk.asking.category)

    def _on_progress(self, what: str, done: int, total: int) -> None:
        self.start.setEnabled(False)
        self.stop.setEnabled(True)
        self.bar.setVisible(True)
        self.bar.setMaximum(total)
        self.bar.setValue(done)
        self.bar.setFormat(f"{what} %v of %m")
        if self._task is None or self._task.desc != f"Promptile: {what}" or self._task.total != total:
            self._end_task()
            self._task = progress(total=total or None, desc=f"Promptile: {what}")
        self._task.update(done - self._task.n)

    def _on_end(self) -> None:
        self.start.setEnabled(True)
        self.stop.setEnabled(False)
        self.bar.setVisible(False)
        self._end_task()

    def _end_task(self) -> None:
        if self._task is not None:
            self._task.close()
            self._task = None

    def _on_remembered(self) -> None:
        waiting: list[Request] = self._desk.runs.unfinished
        self.again.setVisible(bool(waiting))
        if waiting:
            self.again.setText(f"Go on with the interrupted run of {waiting[0].what}")


class _Proposal(QWidget):
    """The proposal that is looked at, and what can be said to it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        reviewing = desk.reviewing
        self.text = QLabel()
        buttons = (
            button("◀", "The proposal before", reviewing.previous, "K"),
            button("✓ Yes", "It is an object", reviewing.accept, "Y"),
            button("✕ No", "It is none", reviewing.reject, "U"),
            button("✎", "It is an object, but not quite: correct it", reviewing.work_on, "W"),
            button("▶", "Decide later", reviewing.next, "J"),
            button("End", "End the review; what waits goes on waiting", reviewing.end),
        )
        layout = column(self)
        layout.addWidget(self.text)
        layout.addWidget(row(*buttons))
        reviewing.reviewed.connect(self._on_reviewed)
        self._on_reviewed()

    def _on_reviewed(self) -> None:
        proposed = self._desk.reviewing.proposed
        self.setVisible(proposed is not None)
        if proposed is not None:
            named = f", {proposed.category}" if proposed.category else ""
            text = f"Proposal {proposed.id}{named}, score {proposed.score:.2f}; {proposed.left} wait"
            self.text.setText(text)
