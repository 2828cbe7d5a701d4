"""Makes the pictures of the napari plugin from the samples: `python docs/make_napari_pictures.py`.

It drives a real window as a person does, with clicks and keys, and needs a screen, real or virtual
(`xvfb-run -s "-screen 0 1600x1000x24" python docs/make_napari_pictures.py [scene] [volume] [everything]`).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOM = tempfile.mkdtemp(prefix="promptile-pictures-")  # nothing of the user's is read or written
os.environ |= {"XDG_DATA_HOME": ROOM, "PROMPTILE_CACHE": f"{ROOM}/cache", "NAPARI_CONFIG": f"{ROOM}/napari.yaml"}

import napari  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtCore import QEvent, QPoint, Qt  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication, QPushButton, QToolButton  # noqa: E402

FOLDER = Path(__file__).parent / "images"
SIZE = (1500, 950)
LEFT = Qt.MouseButton.LeftButton
FREE = Qt.KeyboardModifier.NoModifier


class Film:
    """Pictures of a window, one after the other, as a small animation."""

    def __init__(self, window: Window, width: int = 1000) -> None:
        self._window, self._width = window, width
        self._frames: list[Image.Image] = []
        self._times: list[int] = []

    def take(self, seconds: float) -> None:
        """What the window shows now, for so long."""
        picture = self._window.picture()
        height = round(picture.height * self._width / picture.width)
        self._frames.append(picture.resize((self._width, height), Image.Resampling.LANCZOS))
        self._times.append(round(1000 * seconds))

    def save(self, name: str) -> None:
        """Write it."""
        first, *others = self._frames
        path = FOLDER / f"{name}.webp"
        first.save(path, save_all=True, append_images=others, duration=self._times, loop=0, quality=72, method=6)
        print(f"{path.name}: {len(self._frames)} pictures, {path.stat().st_size // 1000} kB")


class Window:
    """napari with a sample and the widget, and a person in front of it."""

    def __init__(self, name: str) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(*SIZE)
        self.viewer.open_sample("promptile", name)
        for layer in self.viewer.layers:  # the sample's own prompts are for other uses
            layer.visible = layer.visible and not layer.name.startswith((f"{name} points", f"{name} boxes"))
        self.wait(1)
        _, self.widget = self.viewer.window.add_plugin_dock_widget("promptile", "Promptile")
        self.desk = self.widget.desk
        self.until(lambda: self.desk.scene is not None)
        self.settle()

    def step(self) -> None:
        """Let the window do what it has to."""
        application = QApplication.instance()
        application.processEvents()
        application.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        time.sleep(0.005)

    def wait(self, seconds: float) -> None:
        """Look at it for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something."""
        end = time.monotonic() + 120
        while not reached():
            if time.monotonic() > end:
                raise TimeoutError
            self.step()

    def settle(self) -> None:
        """Wait until nothing is going on any more."""
        self.until(lambda: not self.desk.worker.busy)
        self.wait(1)
        self.until(lambda: not self.desk.worker.busy)
        self.wait(0.5)

    def picture(self) -> Image.Image:
        """All of the window."""
        self.wait(0.2)
        return Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")

    def keep(self, name: str) -> None:
        """Write a picture of it."""
        path = FOLDER / f"{name}.webp"
        self.picture().save(path, quality=84, method=6)
        print(f"{path.name}: {path.stat().st_size // 1000} kB")

    def pixel(self, place: Sequence[float]) -> QPoint:
        """Where a sample of the image is on the canvas."""
        world = self.desk.scene.shown.to_world(np.array([place], float))[0]
        seen = world[list(self.viewer.dims.displayed[-2:])]
        camera = self.viewer.scene.camera
        y, x = (seen - camera.center[-2:]) * camera.zoom + np.array([self.canvas.height(), self.canvas.width()]) / 2
        return QPoint(round(x), round(y))

    @property
    def canvas(self):
        """Where the image is drawn."""
        return self.viewer.window._qt_viewer.canvas.native

    def go_to(self, place: Sequence[float]) -> None:
        """Move the sliders to a sample."""
        world = self.desk.scene.shown.to_world(np.array([place], float))[0]
        for axis in set(range(len(world))) - set(self.viewer.dims.displayed):
            self.viewer.dims.set_point(axis, world[axis])
        self.wait(0.2)

    def click(self, *place: float) -> None:
        """Click on a sample and wait for the answer."""
        self.go_to(place)
        QTest.mouseMove(self.canvas, self.pixel(place))
        QTest.mouseClick(self.canvas, LEFT, FREE, self.pixel(place))
        self.settle()

    def drag(self, start: Sequence[float], end: Sequence[float]) -> None:
        """Draw from one sample to another."""
        self.go_to(start)
        first, last = self.pixel(start), self.pixel(end)
        QTest.mouseMove(self.canvas, first)
        QTest.mousePress(self.canvas, LEFT, FREE, first)
        for n in range(1, 11):
            QTest.mouseMove(self.canvas, first + (last - first) * (n / 10))
            self.wait(0.03)
        QTest.mouseRelease(self.canvas, LEFT, FREE, last)
        self.settle()

    def press(self, key: str, *, control: bool = False) -> None:
        """Press a key over the image."""
        modifier = Qt.KeyboardModifier.ControlModifier if control else FREE
        QTest.keyClick(self.canvas, getattr(Qt.Key, f"Key_{key}"), modifier)
        self.settle()

    def push(self, text: str) -> None:
        """Push a button of the widget."""
        for button in self.widget.findChildren((QPushButton, QToolButton)):
            if button.text() == text and button.isEnabled():
                button.click()
                break
        else:
            raise LookupError(f"There is no button {text!r}, or it is grey")
        self.settle()

    def name(self, category: str) -> None:
        """Say what the next objects are."""
        self.widget.ask.category.setEditText(category)

    def look_at(self, y: float, x: float, zoom: float) -> None:
        """Move the view to a sample of an image."""
        world = self.desk.scene.shown.to_world(np.array([[y, x]], float))[0]
        self.viewer.scene.camera.center = (0, *world)
        self.viewer.scene.camera.zoom = zoom
        self.settle()

    def close(self) -> None:
        """Close it."""
        self.viewer.window._qt_window.close()
        self.wait(0.5)


def scene() -> None:
    """Clicks and boxes on the satellite scene."""
    window = Window("scene")
    film = Film(window)
    camera = window.viewer.scene.camera
    whole = camera.center, camera.zoom
    window.look_at(480, 880, 0.85)
    window.name("lake")
    film.take(1.2)
    window.click(275, 992)
    film.take(1.5)
    window.press("G")
    window.name("field")
    window.click(679, 665)
    film.take(1.5)
    window.press("Q")
    window.click(743, 604)
    film.take(1.5)
    window.keep("napari-not-object")
    window.press("G")
    window.push("▭ box")
    for start, end in (((661, 1072), (816, 1282)), ((490, 705), (604, 881))):
        window.drag(start, end)
        film.take(1.2)
        window.press("G")
    film.take(1)
    camera.center, camera.zoom = whole
    window.settle()
    window.push("● object")
    window.name("wood")
    window.click(1228, 1191)
    film.take(1.2)
    window.press("G")
    film.take(2)
    film.save("napari-click")
    window.name("river")
    window.widget.image.level.setCurrentIndex(1)
    window.widget.image.level.activated.emit(1)
    window.click(687, 762)
    window.keep("napari-scene")
    window.close()


def everything() -> None:
    """A run over the whole scene, and its review."""
    window = Window("scene")
    window.widget.image.title.click()
    window.widget.run.title.click()
    window.widget.run.smallest.value = 400
    window.push("▶ Run")
    window.until(lambda: not window.desk.runs.going_on)
    window.settle()
    window.keep("napari-everything")
    window.push("Review")
    for key in "YYUYYUY":
        window.press(key)
    window.keep("napari-review")
    window.close()


def volume() -> None:
    """Organs of the volume, in slices and in 3D."""
    window = Window("volume")
    film = Film(window)
    viewer = window.viewer
    at = window.widget.image.range.findText("soft")
    window.widget.image.range.setCurrentIndex(at)
    window.widget.image.range.activated.emit(at)
    window.settle()
    for category, places in {
        "right kidney": [(24, 77, 45), (11, 74, 45)],
        "left kidney": [(27, 72, 100), (13, 69, 99)],
    }.items():
        window.name(category)
        for place in places:
            window.click(*place)
            film.take(1.3)
        window.press("G")
    window.name("spleen")
    window.push("▭ box")
    window.drag((29, 47, 104), (29, 73, 124))
    film.take(1.3)
    window.press("G")
    window.push("● object")
    window.name("liver")
    for place in ((39, 57, 45), (35, 33, 79)):
        window.click(*place)
        film.take(1.3)
    window.go_to((30, 70, 63))
    window.settle()
    film.take(1.3)
    window.press("Q")
    window.click(30, 70, 63)
    film.take(1.3)
    window.keep("napari-volume")
    window.press("G")
    film.take(1.3)
    viewer.dims.ndisplay = 3
    viewer.scene.camera.orientation = ("away", "down", "right")
    viewer.layers["volume.nii.gz"].visible = False
    viewer.reset_view()
    viewer.scene.camera.zoom *= 1.25
    for angle in range(-40, 41, 10):
        viewer.scene.camera.angles = (0, angle, -90)
        window.wait(0.3)
        film.take(0.3)
    viewer.scene.camera.angles = (15, 30, -90)
    window.keep("napari-volume-3d")
    film.save("napari-organs")
    window.close()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for story in sys.argv[1:] or ("scene",):  # one at a time: each begins without objects
        {"scene": scene, "everything": everything, "volume": volume}[story]()
