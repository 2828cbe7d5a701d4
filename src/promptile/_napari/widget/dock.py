"""The widget in the dock: panels one below the other, a line that says what goes on, and keys."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget

from promptile._napari.drawing import draw_safely
from promptile._napari.widget.ask_panel import AskPanel
from promptile._napari.widget.desk import Desk
from promptile._napari.widget.export_panel import ExportPanel
from promptile._napari.widget.image_panel import ImagePanel
from promptile._napari.widget.keys import KeyBindings, Keys
from promptile._napari.widget.model_panel import ModelPanel
from promptile._napari.widget.objects_panel import ObjectsPanel
from promptile._napari.widget.run_panel import RunPanel

_WIDTH = 330
_CALM, _WRONG = "padding: 4px;", "padding: 4px; color: #e8a33d; font-weight: bold;"


class PromptileWidget(QWidget):
    """Click, see, accept, save, on images of any size.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        # napari gives a proxy, whose parts are none
        napari_viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._end_drawing = draw_safely(napari_viewer)
        self.desk = Desk(napari_viewer)
        self.line = QLabel("Open an image")
        self.line.setWordWrap(True)
        self.model = ModelPanel(self.desk)
        self.ask = AskPanel(self.desk)
        self.objects = ObjectsPanel(self.desk)
        self.run = RunPanel(self.desk)
        self.export = ExportPanel(self.desk)
        self.desk.told.connect(self._tell)
        self.keys = KeyBindings(napari_viewer, self._keys())
        self.desk.layered.connect(self.keys.also_on)
        self.image = ImagePanel(self.desk, lambda: self.model.usable)  # last: it takes up the image that is there
        self._lay_out()
        self._window: QWidget | None = None
        self._closed = False

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(4, 4, 4, 4)
        for panel in (self.image, self.model, self.ask, self.objects, self.run, self.export):
            column.addWidget(panel)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(inside)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.line)
        outer.addWidget(scroll)
        self.setMinimumWidth(_WIDTH)

    def _keys(self) -> Keys:
        asking, objects, reviewing = self.desk.asking, self.desk.objects, self.desk.reviewing
        return {
            "Q": ("Points on the object, or beside it", self.ask.toggle_positive),
            "G": ("Accept the object", asking.accept),
            "C": ("The model's next answer", asking.choose_next),
            "N": ("Begin another object", asking.discard),
            "Control-Z": ("Take back the last mark or step", objects.undo),
            "Control-Shift-Z": ("Do it again", objects.redo),
            "Y": ("The proposal is an object", reviewing.accept),
            "U": ("The proposal is none", reviewing.reject),
            "W": ("Correct the proposal", reviewing.work_on),
            "J": ("The next proposal", reviewing.next),
            "K": ("The proposal before", reviewing.previous),
        }

    def _tell(self, text: str, wrong: bool) -> None:
        self.line.setText(text)
        self.line.setStyleSheet(_WRONG if wrong else _CALM)

    def showEvent(self, event: Any) -> None:
        """The window that it is in is known now: end the work when that is closed."""
        super().showEvent(event)
        if self._window is None:
            self._window = self.window()
            self._window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._window and event.type() == QEvent.Type.Close:
            self.end()
        return bool(super().eventFilter(watched, event))

    def changeEvent(self, event: Any) -> None:
        """Its dock was removed from the window, which says so in no other way."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and self._window is not None:
            self.end()

    def closeEvent(self, event: Any) -> None:
        self.end()
        super().closeEvent(event)

    def end(self) -> None:
        """End the work at hand, keep what is finished, and let go of the viewer."""
        if not self._closed:
            self._closed = True
            if self._window is not None:
                self._window.removeEventFilter(self)
            self.keys.release()
            self.image.close_panel()
            self.model.close_panel()
            self.ask.close_panel()
            self.run.close_panel()
            self.desk.close()
            self._end_drawing()
