"""Which image, and how the model sees it."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakSet

from napari.layers import Image, Layer
from qtpy.QtWidgets import QLineEdit

from promptile._napari.widget.asking import SEEN
from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import Panel, button, choice, form, offer
from promptile.rendering import PRESETS


class ImagePanel(Panel):
    """The image and how it is looked at.

    Parameters
    ----------
    desk : Desk
    model : callable
        Gives the name of the model to begin with.
    """

    def __init__(self, desk: Desk, model: Callable[[], str]) -> None:
        super().__init__("Image")
        self._desk = desk
        self._model = model
        self._tried: WeakSet[Layer] = WeakSet()
        self.image = choice("The image to segment: any image layer", self._open)
        self.range = choice("Values from black to white, for you and for the model", self._choose_window)
        self.range.setEditable(True)
        self.channels = QLineEdit()
        self.channels.setToolTip("Channels that the model sees, from 1, like 4,3,2; empty for the usual ones")
        self.channels.editingFinished.connect(self._choose_channels)
        self.level = choice("How finely points are asked: what you see, or always at one level", self._choose_level)
        rows = [
            ("Image", self.image),
            ("Window", self.range),
            ("Channels", self.channels),
            ("Level", self.level),
        ]
        self.anew = button("Start anew", "Remove all objects from before; Undo brings them back", self._start_anew)
        self.inside.addWidget(form(rows))
        self.inside.addWidget(self.anew)
        desk.opened.connect(self._on_opened)
        desk.changed.connect(self._on_changed)
        for event in (desk.viewer.layers.events.inserted, desk.viewer.layers.events.removed):
            event.connect(self.list_images)
        self._on_opened()

    def close_panel(self) -> None:
        """Listen no more."""
        self._desk.opened.disconnect(self._on_opened)  # or it would take up the next image when this one is put away
        self._desk.changed.disconnect(self._on_changed)
        for event in (self._desk.viewer.layers.events.inserted, self._desk.viewer.layers.events.removed):
            event.disconnect(self.list_images)
        for layer in self._desk.viewer.layers:
            layer.events.name.disconnect(self._rename)

    def list_images(self, event: object = None) -> None:
        """Offer the image layers that there are; the first one is taken up by itself."""
        layers = [layer for layer in self._desk.viewer.layers if isinstance(layer, Image)]
        for layer in layers:
            layer.events.name.connect(self._rename)  # a second time does nothing
        untried = [layer for layer in layers if layer not in self._tried]
        if self._desk.opening is None and untried:
            first = next((layer for layer in reversed(untried) if layer.visible), untried[-1])
            self._tried.add(first)  # one that cannot be opened is not tried again until the user says so
            self._desk.open(first, self._model())
        offer(self.image, [(layer.name, layer) for layer in layers], self._desk.opening)

    def _start_anew(self) -> None:
        snapshot = self._desk.snapshot
        self.anew.hide()
        if snapshot is not None:
            self._desk.objects.delete(snapshot.states)

    def _rename(self, event: object = None) -> None:
        for i in range(self.image.count()):
            self.image.setItemText(i, self.image.itemData(i).name)

    def _open(self) -> None:
        layer = self.image.currentData()
        if layer is not None:
            self._desk.open(layer, self._model())

    def _choose_window(self) -> None:
        self._desk.asking.look(window=self.range.currentText().strip() or "auto")

    def _choose_channels(self) -> None:
        snapshot, text = self._desk.snapshot, self.channels.text().replace(" ", "")
        if snapshot is None or text == _numbers(snapshot.rendering.channels):
            return
        try:
            channels = [int(part) - 1 for part in text.split(",")] if text else None
        except ValueError:
            self._desk.told.emit(f"Channels {text!r} are no numbers: use 1,2,3", True)
            return
        self._desk.asking.look(channels=channels)

    def _choose_level(self) -> None:
        self._desk.asking.set_level(self.level.currentData())

    def _on_opened(self) -> None:
        for widget in (self.range, self.channels, self.level):
            widget.setEnabled(self._desk.snapshot is not None)
        self.list_images()
        snapshot = self._desk.snapshot
        self.anew.setVisible(snapshot is not None and bool(snapshot.states))
        if snapshot is None:
            return
        names = ["auto", *(PRESETS if snapshot.modality in ("", "CT") and snapshot.grid.ndim == 3 else ())]
        offer(self.range, [(name, name) for name in names], "auto")
        levels = [(f"{n}: 1 of {' × '.join(map(str, f))} samples", n) for n, f in enumerate(snapshot.levels)]
        offer(self.level, [("as finely as seen", SEEN), *levels], self._desk.asking.level)

    def _on_changed(self) -> None:
        snapshot = self._desk.snapshot
        if snapshot is None:
            return
        if not self.channels.hasFocus():
            self.channels.setText(_numbers(snapshot.rendering.channels))
        self.channels.setEnabled(len(snapshot.channels) > 1)
        scene = self._desk.scene
        if scene is not None:
            scene.render(snapshot.rendering)


def _numbers(channels: tuple[int, ...]) -> str:
    return ",".join(str(channel + 1) for channel in channels)
