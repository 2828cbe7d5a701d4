"""Asking for an object: tools for marks, the model's answers as pictures, accept."""

from __future__ import annotations

from napari.layers import Layer, Points, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QToolButton, QWidget

from promptile._napari.marks import set_positive
from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import FIRST, Panel, able, button, form, icon, row, toggle
from promptile._napari.widget.scene import Tool
from promptile.engine.words import sense_of
from promptile.session import Thumbnail

_TOOLS: tuple[tuple[Tool, str, str, str], ...] = (
    ("object", "● object", "Click on the object", "points"),
    ("other", "✕ not object", "Click on what is not the object", "points"),
    ("box", "▭ box", "Draw a box around the object", "box"),
    ("area", "⬠ area", "Outline the object roughly", "mask"),
)


_HINTS: dict[Tool | None, str] = {
    "object": "Click on an object. <b>Q</b>: points beside it · <b>G</b>: keep it",
    "other": "Click on what is too much. <b>Q</b>: points on the object · <b>G</b>: keep it",
    "box": "Draw a box around an object. <b>G</b>: keep it · <b>N</b>: another one",
    "area": "Click corners around an object; <b>Esc</b> ends the outline. <b>G</b>: keep it",
    None: "Take one of these tools to mark an object",
}


class AskPanel(Panel):
    """Marks and the model's answers."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("Object")
        self._desk = desk
        self.tools: dict[Tool, QToolButton] = {}
        for tool, text, help_text, _ in _TOOLS:
            self.tools[tool] = toggle(text, help_text, lambda tool=tool: self.take(tool))  # type: ignore[misc]
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.live = QCheckBox("answer each mark at once")
        self.live.setToolTip("Without it, the marks are asked about when you accept, or press the button beside")
        self.live.setChecked(True)
        self.now = button("ask", "Ask about the marks now", desk.asking.ask)
        self.answers = QWidget()
        self._pictures = QHBoxLayout(self.answers)
        self._pictures.setContentsMargins(0, 0, 0, 0)
        self._pictures.setAlignment(Qt.AlignmentFlag.AlignLeft)
        self.slices = _slice_row(desk)
        self.memory = QCheckBox("by the model's memory")
        self.memory.setToolTip("Follow objects by what the model remembers of the slices before, not by their masks")
        self.category = QComboBox()
        self.category.setEditable(True)
        self.category.setToolTip("The category of the objects that are accepted from now on")
        self.accept = button("✓ Accept", "Keep the object", desk.asking.accept, "G")
        self.accept.setStyleSheet(FIRST)
        self.drop = button("New", "Drop the marks and begin another object", desk.asking.discard, "N")
        self.undo = button("↶ Undo", "Take back the last mark or step", desk.objects.undo, "Ctrl+Z")
        self.redo = button("↷ Redo", "Do it again", desk.objects.redo, "Ctrl+Shift+Z")
        self._lay_out()
        self._listen()
        self._on_opened()

    def _lay_out(self) -> None:
        for widget in (
            row(*self.tools.values()),
            self.hint,
            row(self.live, self.now),
            self.answers,
            self.slices,
            self.memory,
            form([("Category", self.category)]),
            row(self.accept, self.drop),
            row(self.undo, self.redo),
        ):
            self.inside.addWidget(widget)

    def _listen(self) -> None:
        self.live.toggled.connect(self._set_live)
        self.memory.toggled.connect(self._set_memory)
        self.category.currentTextChanged.connect(self._set_category)
        desk = self._desk
        desk.layered.connect(self._on_layered)
        desk.opened.connect(self._on_opened)
        desk.changed.connect(self._on_changed)
        desk.asking.previewed.connect(self._on_previewed)
        desk.asking.previewed.connect(self.show_tool)
        desk.viewer.layers.selection.events.active.connect(self._on_selected)
        desk.viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def close_panel(self) -> None:
        """Listen no more."""
        self._desk.viewer.layers.selection.events.active.disconnect(self._on_selected)
        self._desk.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    def take(self, tool: Tool) -> None:
        """Take a tool in hand: its layer is selected and in the right mode."""
        scene = self._desk.scene
        if scene is not None and self.tools[tool].isEnabled():
            scene.take(tool)
        self.show_tool()

    def toggle_positive(self) -> None:
        """From points on the object to points beside it, and back."""
        self.take("other" if self._tool() == "object" else "object")

    def _tool(self) -> Tool | None:
        return None if self._desk.scene is None else self._desk.scene.tool

    def show_tool(self, event: object = None) -> None:
        """Show which tool is in hand, also if it was taken by napari's own buttons."""
        for tool, widget in self.tools.items():
            widget.setChecked(tool == self._tool())
        self.hint.setText(f"<small>{_HINTS[self._tool()]}</small>")

    def _on_selected(self, event: object = None) -> None:
        if self._desk.scene is not None:
            self.show_tool()

    def _set_live(self, live: bool) -> None:
        self._desk.asking.live = live
        self.now.setEnabled(not live)
        if live:
            self._desk.asking.ask()

    def _set_memory(self, memory: bool) -> None:
        asking = self._desk.asking
        asking.memory = memory
        if asking.reach is not None:  # the object was followed: the other way now
            asking.ask()

    def _set_category(self, text: str) -> None:
        self._desk.asking.category = text.strip()

    def _on_layered(self, layer: Layer) -> None:
        layer.events.mode.connect(self.show_tool)
        if isinstance(layer, Points | Shapes):
            layer.events.data.connect(self._show_state)

    def _on_ndisplay(self, event: object = None) -> None:
        """In 3D the mouse turns the view: a mark would be anywhere along the line of sight."""
        scene = self._desk.scene
        if scene is not None and self._solid:
            scene.points.mode = scene.shapes.mode = "pan_zoom"
        self._on_changed()
        if not self._solid:
            self.take("object")

    @property
    def _solid(self) -> bool:
        return bool(self._desk.viewer.dims.ndisplay == 3)

    def _on_opened(self) -> None:
        scene = self._desk.scene
        for widget in (self.accept, self.drop, self.now, self.undo, self.redo, *self.tools.values()):
            widget.setEnabled(scene is not None)
        self.now.setEnabled(scene is not None and not self.live.isChecked())
        if scene is not None:
            set_positive(scene.points, True)
            self._on_changed()
            self.take("object")

    def _on_changed(self) -> None:
        snapshot = self._desk.snapshot
        if snapshot is None:
            return
        for tool, _, _, ability in _TOOLS:
            why = f"{snapshot.card.name} takes no {ability}: choose another model"
            if self._solid:
                why = "Marks are made in slices: go back from 3D to 2D, by the button below the layers"
            able(self.tools[tool], ability in snapshot.card.abilities and not self._solid, why)
        for widget in (self.slices, self.memory):
            widget.setVisible(self._desk.asking.slicewise)
        remembers = "memory" in snapshot.card.abilities
        able(self.memory, remembers, f"{snapshot.card.name} has no memory of slices: SAM 2 and 2.1 have one")
        if not remembers:
            self.memory.setChecked(False)
        self.undo.setToolTip(f"Take back: {snapshot.undo or 'the last mark'} (Ctrl+Z)")
        self.redo.setToolTip(f"Do again: {snapshot.redo or 'nothing'} (Ctrl+Shift+Z)")
        self._show_state()
        self.accept.setText("✓ Accept" if snapshot.revised is None else f"✓ Replace {snapshot.revised}")
        self._list_categories(sorted({s.record.category for s in snapshot.states.values() if s.record.category}))

    def _show_state(self, event: object = None) -> None:
        """What can be done now."""
        scene, snapshot = self._desk.scene, self._desk.snapshot
        marked = scene is not None and not scene.empty
        able(self.accept, marked, "Click on an object first")
        self.slices.setEnabled(marked)
        begun = marked or (snapshot is not None and snapshot.revised is not None)
        able(self.drop, begun, "There are no marks to drop")
        self.undo.setEnabled(marked or (snapshot is not None and bool(snapshot.undo)))
        self.redo.setEnabled(snapshot is not None and bool(snapshot.redo))

    def _list_categories(self, known: list[str]) -> None:
        here = [self.category.itemText(i) for i in range(self.category.count())]
        given = self.category.currentText()
        text = next((name for name in known if sense_of(name) == sense_of(given)), given)  # as objects have it
        if (here, given) != (known, text) and not self.category.hasFocus():
            self.category.blockSignals(True)
            self.category.clear()
            self.category.addItems(known)
            self.category.setEditText(text)
            self.category.blockSignals(False)

    def _on_previewed(self) -> None:
        preview = self._desk.asking.preview
        if preview is not None and not preview.whole:
            return
        while (item := self._pictures.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for thumbnail in preview.thumbnails if preview is not None else ():
            self._pictures.addWidget(self._picture(thumbnail))
        self._show_state()

    def _picture(self, thumbnail: Thumbnail) -> QToolButton:
        widget = toggle(
            f"{thumbnail.name} {thumbnail.score:.2f}",
            f"Take this answer: {thumbnail.name} (C: the next one)",
            lambda: self._desk.asking.choose(thumbnail.candidate),
        )
        picture, size = icon(thumbnail.picture)
        widget.setIcon(picture)
        widget.setIconSize(size)
        widget.setChecked(thumbnail.taken)
        widget.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        return widget


def _slice_row(desk: Desk) -> QWidget:
    """How far an object is followed through the slices of a volume."""
    asking = desk.asking
    return row(
        QLabel("Slices"),
        button("⇤", "Follow the object through the slices before", lambda: asking.follow("backward")),
        button("⇆ all", "Follow the object through the slices, both ways", lambda: asking.follow("both")),
        button("⇥", "Follow the object through the slices behind", lambda: asking.follow("forward")),
        button("to here", "Follow the object to the slice that is seen", asking.follow_here),
        button("■", "Stop: keep to the slices with marks", asking.stop),
    )
