"""The widget in a real window, with real mouse and keyboard events; and models that are slow, perfect or fail."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from unittest.mock import patch

import numpy as np
from affine import Affine
from pytestqt.exceptions import TimeoutError
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from kinds import write_tif
from perfect import Perfect
from promptile import Tiling
from promptile._napari.settings import Settings
from promptile.models import registry
from promptile.models.protocols import Detections, ModelCard, Thresholds
from proposers import Whole
from test_run import scene

PATIENCE = 30_000
"""Milliseconds for what should come at once, on a machine that does other things."""


class Oracle(Perfect):
    """Answers prompts, and proposes everything, with the values of the image; counts what it is asked.

    While `gate` is shut, it waits in `embed`, `predict` and `propose`; `trouble` is raised there.
    """

    def __init__(self, ndim: int) -> None:
        super().__init__(ndim)
        self.card = replace(self.card, name="oracle", abilities=frozenset({*self.card.abilities, "propose"}))
        self.gate, self.trouble = threading.Event(), None
        self.gate.set()
        self.seconds = 0.0
        self.asked, self.proposed = [], 0
        self._whole = Whole(ndim)

    def embed(self, views):
        self._wait()
        return super().embed(views)

    def predict(self, embedding, prompt):
        self.asked.append(prompt)
        self._wait()
        return super().predict(embedding, prompt)

    def propose(self, view):
        self._wait()
        self.proposed += 1
        return self._whole.propose(view)

    def _wait(self) -> None:
        time.sleep(self.seconds)
        assert self.gate.wait(60)
        if self.trouble is not None:
            raise self.trouble


latest: dict[int, Oracle] = {}
"""The oracle that was loaded last, by number of dimensions."""


def oracle(ndim: int) -> Oracle:
    latest[ndim] = Oracle(ndim)
    return latest[ndim]


class PointsOnly(Oracle):
    """Takes points alone."""

    def __init__(self, ndim: int) -> None:
        super().__init__(ndim)
        self.card = replace(self.card, name="points-only", abilities=frozenset({"points"}))


class Flat(Oracle):
    """The oracle for images only: it sees a volume slice by slice."""

    def __init__(self, ndim: int) -> None:
        super().__init__(2)
        self.card = replace(self.card, name="flat", abilities=frozenset({"points", "box", "mask"}))
        latest[ndim] = self


class Seer:
    """Finds the values of the image: `odd` and `even` ones, the surer the larger; counts its looks."""

    def __init__(self, ndim: int) -> None:
        self.card = ModelCard(
            name="seer",
            family="test",
            abilities=frozenset({"text"}),
            ndim=2,
            input="raw",
            thresholds=Thresholds(0.3, 0.25),
            digest="seer",
        )

    def detect(self, views, phrases, thresholds):
        Seer.looks += len(views)
        return [self._seen(view.samples[0].astype(int), list(phrases), thresholds.box) for view in views]

    looks = 0

    def _seen(self, values, phrases, least):
        named = [(n, "odd" if n % 2 else "even") for n in np.unique(values)[::-1] if n]
        seen = [(n, phrases.index(name)) for n, name in named if name in phrases and n / 10 >= least]
        where = ndimage.find_objects(values)
        boxes = [[[s.start - 0.5 for s in where[n - 1]], [s.stop - 0.5 for s in where[n - 1]]] for n, _ in seen]
        scores, labels = np.array([n / 10 for n, _ in seen]), np.array([label for _, label in seen], np.int64)
        return Detections(np.reshape(boxes, (-1, 2, 2)).astype(float), scores, labels)


MODELS = ("oracle", "points-only", "flat", "seer")


def install(monkeypatch, folder, model: str) -> None:
    """Have the models above installed, `model` chosen, and work kept in `folder`."""
    ours = {"oracle": "oracle", "points-only": "PointsOnly", "flat": "Flat", "seer": "Seer"}
    points = [EntryPoint(name, f"desks:{what}", registry.GROUP) for name, what in ours.items()]
    real = registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda group: [*real(group=group), *points])
    settings = Settings(model, "auto", folder)
    monkeypatch.setattr(Settings, "read", classmethod(lambda cls: settings))


def add(viewer, image) -> None:
    """Add an image: a sample by its name, an array, what `add_image` takes, or a file."""
    if isinstance(image, str):
        viewer.open_sample("promptile", image)
    elif isinstance(image, dict):
        viewer.add_image(**image)
        viewer.dims.set_point(0, 0)
    elif isinstance(image, np.ndarray):
        viewer.add_image(image)
    else:
        viewer.open(image, plugin="promptile")


class Window:
    """A viewer with the widget, and hands."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.dock, self.widget = viewer.window.add_plugin_dock_widget("promptile", "Promptile")
        self.desk = self.widget.desk
        self.said: list[tuple[str, bool]] = []
        self.desk.told.connect(lambda text, wrong: self.said.append((text, wrong)))

    @property
    def scene(self):
        return self.desk.scene

    @property
    def canvas(self):
        return self.viewer.window._qt_viewer.canvas.native

    @property
    def labels(self) -> np.ndarray:
        """All labels as they are shown."""
        return np.asarray(self.scene.results.labels)

    @property
    def ids(self) -> list[int]:
        """Objects in the table."""
        table = self.widget.objects.table
        return [table.state(row).record.id for row in range(table.rowCount())]

    @property
    def states(self):
        """What the window knows of all objects."""
        return self.desk.snapshot.states

    @property
    def shown(self) -> np.ndarray:
        """Where the preview is, as the layer shows it; of an image's shape."""
        layer, whole = self.scene.preview.layer, np.zeros(self.scene.shown.grid.shape, bool)
        if layer is None or self.desk.asking.preview is None:
            return whole
        assert layer.visible
        ends = [layer.data_to_world(at) for at in ((0,) * layer.ndim, np.array(layer.data.shape) - 1)]
        first, last = np.rint(places := self.scene.shown.to_index(ends)).astype(int)
        np.testing.assert_allclose(places, [first, last], atol=1e-6)
        np.testing.assert_array_equal(last - first + 1, layer.data.shape)  # its samples are the image's
        whole[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = layer.data > 0
        return whole

    def end(self) -> None:
        """Close the viewer, and hold nothing of it."""
        if "viewer" not in self.__dict__:
            return
        window = self.viewer.window._qt_window
        if not window.isVisible():
            self.widget.end()  # closing what was never shown is not told
        with patch.object(window, "_save_current_window_settings"):
            self.viewer.close()
        self.__dict__.clear()

    def until(self, condition: Callable[[], object]) -> None:
        try:
            self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE)
        except TimeoutError as error:
            raise AssertionError(f"said so far: {self.said[-5:]}") from error

    def settle(self) -> None:
        """Until nothing is to be done and all is told."""
        self.until(lambda: not self.desk.worker.busy)
        self.qtbot.wait(1)
        QApplication.processEvents()
        self.until(lambda: not self.desk.worker.busy)
        QApplication.processEvents()

    def open(self) -> None:
        self.until(lambda: self.desk.scene is not None or not self.desk.opening)
        assert self.desk.scene is not None, self.said
        self.settle()

    def place(self, index: Sequence[float]) -> QPoint:
        """The pixel of the canvas at which a sample of the image is seen."""
        world = self.scene.shown.to_world([index])[0]
        return self.place_of_world(world)

    def place_of_world(self, world: Sequence[float]) -> QPoint:
        viewer = self.viewer
        missing = viewer.dims.ndim - len(world)
        at = np.array([world[axis - missing] for axis in viewer.dims.displayed[-2:]])
        offset = (at - np.array(viewer.scene.camera.center)[-2:]) * viewer.scene.camera.zoom
        middle = self.canvas.rect().center()
        return QPoint(round(middle.x() + offset[1]), round(middle.y() + offset[0]))

    def turn(self, order: Sequence[int]) -> None:
        """Show a volume from another side; the canvas gets its size back once the sliders have found their places."""
        self.viewer.dims.order = order
        self.qtbot.wait(200)
        self.viewer.reset_view()

    def look_at(self, index: Sequence[float]) -> None:
        """Move the sliders so that a sample is in the slice that is shown."""
        world = self.scene.shown.to_world([index])[0]
        for axis, value in enumerate(world, self.viewer.dims.ndim - len(world)):
            if axis not in self.viewer.dims.displayed:
                self.viewer.dims.set_point(axis, value)

    def look_closely(self, index: Sequence[float], side: float) -> None:
        """Show a part of the image of that many samples around a sample."""
        world = self.scene.shown.to_world(
            np.add([index, index, index], [[0] * len(index), [0] * len(index), [side] * len(index)])
        )
        seen = list(self.viewer.dims.displayed[-2:])
        camera = self.viewer.scene.camera
        camera.center = (0, *world[0][seen])
        camera.zoom = min(self.canvas.width(), self.canvas.height()) / np.abs(world[2] - world[0])[seen].max()

    def click(self, *index: float) -> None:
        self.drag([index])

    def drag(self, places: Sequence[Sequence[float]]) -> None:
        """Press at the first place, move over the others, release at the last."""
        self.look_at(places[0])
        spots = [self.place(place) for place in places]
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        self._mouse(QEvent.Type.MouseMove, spots[0], none, none)
        self._mouse(QEvent.Type.MouseButtonPress, spots[0], left, left)
        for start, end in itertools.pairwise(spots):
            for share in (0.3, 0.7, 1.0):
                spot = QPoint(*(round(a + (b - a) * share) for a, b in ((start.x(), end.x()), (start.y(), end.y()))))
                self._mouse(QEvent.Type.MouseMove, spot, none, left)
        self._mouse(QEvent.Type.MouseButtonRelease, spots[-1], left, none)

    def _mouse(self, kind, spot: QPoint, button, buttons) -> None:
        canvas = self.canvas
        place, none = QPointF(spot), Qt.KeyboardModifier.NoModifier
        event = QMouseEvent(kind, place, QPointF(canvas.mapToGlobal(spot)), button, buttons, none)
        QApplication.sendEvent(canvas, event)
        if kind == QEvent.Type.MouseMove:
            self.qtbot.wait(8)  # napari throttles moves
        QApplication.processEvents()

    def press(self, key: str) -> None:
        """Press a key on the canvas, such as ``G`` or ``Ctrl+Z``."""
        *modifiers, letter = key.split("+")
        names = {"Ctrl": Qt.KeyboardModifier.ControlModifier, "Shift": Qt.KeyboardModifier.ShiftModifier}
        held = Qt.KeyboardModifier.NoModifier
        for name in modifiers:
            held |= names[name]
        QTest.keyClick(self.canvas, getattr(Qt.Key, f"Key_{letter}"), held)
        QApplication.processEvents()

    def press_button(self, button) -> None:
        assert button.isEnabled(), button.text()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        QApplication.processEvents()

    def preview(self) -> np.ndarray:
        """Wait for the answer to the marks of now."""
        self.settle()
        return self.shown

    def keep(self, *places: Sequence[float]) -> None:
        """Click, and accept."""
        for place in places:
            self.click(*place)
        self.preview()
        self.press("G")
        self.settle()

    def photograph(self, path) -> None:
        self.qtbot.wait(100)
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)


def workers() -> list[str]:
    """Threads that still work for a window."""
    return [thread.name for thread in threading.enumerate() if thread.name == "promptile-worker"]


SMALL = Tiling(64, 32)


TRUTH = np.kron(scene(), np.ones((2, 2), np.uint8))
"""Nine squares of 60 x 60 samples, each of its own value."""


def squares(path):
    """Write them as a GeoTIFF."""
    write_tif(path, TRUTH[None], transform=Affine(0.5, 0, 5e5, 0, -0.5, 45e5))
    return path


def middle(number: int) -> tuple[int, int]:
    """Where a square is."""
    return 49 + 90 * ((number - 1) // 3), 49 + 90 * ((number - 1) % 3)
