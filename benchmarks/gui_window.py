"""A napari window that a script drives by real mouse and key events, and a clock that hears how its event loop runs.

A script is a generator: it yields seconds to wait, or a function to wait for. Between two of its steps the event loop
runs as it does for people.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest

from promptile._napari.widget import PromptileWidget
from promptile.grid import Window as Box

Script = Iterator["float | Callable[[], bool]"]

_TICK_MS = 5
_PATIENCE = 180.0
LATE = 0.05
"""Seconds without a tick that are reported one by one."""


class Clock:
    """Ticks every 5 ms, as far as the event loop lets it.

    Parameters
    ----------
    why : bool
        Also look what the window's thread does while a tick is late; that slows everything down.
    """

    def __init__(self, *, why: bool = False) -> None:
        self._ticks: list[tuple[float, float]] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(lambda: self._ticks.append(_now()))
        self._timer.start()
        self._causes: Counter[str] = Counter()
        if why:
            threading.Thread(target=self._watch, args=(threading.get_ident(),), daemon=True).start()

    def begin(self) -> None:
        """Forget what was."""
        self._ticks = [_now()]
        self._causes.clear()

    def gaps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Milliseconds between the ticks since `begin`, and of those what this process may have to answer for.

        On a machine that others use too, a gap is as long as they let it be. What all threads of this process
        together have worked in a gap is an upper bound of what it would be without them.
        """
        passed, worked = 1000 * np.diff(np.array([*self._ticks, _now()]), axis=0).T
        return passed, np.minimum(passed, worked)

    def row(self) -> dict[str, float]:
        """Median, 99th percentile and longest gap in ms, and how many were above 50 and 100 ms."""
        gaps, own = self.gaps()
        for cause, times in self._causes.most_common(8):
            print(f"late {times} times: {cause}")
        return {
            "seconds": round(float(gaps.sum()) / 1000, 1),
            "median": round(float(np.median(gaps)), 1),
            "99 %": round(float(np.percentile(gaps, 99)), 1),
            "longest": round(float(gaps.max()), 1),
            "gaps > 50": int((gaps > 1000 * LATE).sum()),
            "> 100 ms": int((gaps > 100).sum()),
            "own 99 %": round(float(np.percentile(own, 99)), 1),
            "own longest": round(float(own.max()), 1),
            "own > 50 ms": int((own > 1000 * LATE).sum()),
            "own > 100 ms": int((own > 100).sum()),
            "load": round(os.getloadavg()[0], 1),
        }

    def _watch(self, window_thread: int) -> None:
        while True:
            time.sleep(0.01)
            if self._ticks and time.process_time() - self._ticks[-1][1] > LATE / 2:
                frames = sys._current_frames()
                if window_thread not in frames:
                    return
                here = _stack(frames[window_thread])
                others = [_stack(f) for t, f in frames.items() if _named(t) == "promptile-worker"]
                self._causes[" < ".join(here) + "".join(f"\n      worker: {' < '.join(s[:4])}" for s in others)] += 1


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _named(thread: int) -> str:
    return next((t.name for t in threading.enumerate() if t.ident == thread), "")


def _stack(frame: Any) -> list[str]:
    """The innermost calls, the last one first."""
    calls = traceback.extract_stack(frame)[::-1][:14]
    return [f"{Path(c.filename).stem}.{c.name}:{c.lineno}" for c in calls]


class Window:
    """napari with our widget.

    Parameters
    ----------
    why : bool
        As for `Clock`.
    """

    def __init__(self, *, why: bool = False) -> None:
        self.viewer = napari.Viewer(show=True)
        self.clock = Clock(why=why)
        self.widget: Any = None
        self.said: list[tuple[str, bool]] = []

    def dock(self) -> None:
        """Add the widget."""
        self.widget = PromptileWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="Promptile", area="right")
        self.desk.told.connect(lambda text, wrong: self.said.append((text, wrong)))

    @property
    def desk(self) -> Any:
        return self.widget.desk

    @property
    def scene(self) -> Any:
        return self.desk.scene

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing to do, and all it had was shown."""
        return not self.desk.worker.busy

    def spot(self, index: NDArray[np.floating[Any]]) -> QPoint:
        """Where an index of the image is on the canvas; 2D views only."""
        world = self.scene.shown.to_world(index)[0][-2:]
        camera, size = self.viewer.scene.camera, np.array(self.viewer.canvas.size)
        y, x = (world - np.array(camera.center)[-2:]) * camera.zoom + size / 2
        return QPoint(round(x), round(y))

    def at(self, spot: QPoint) -> NDArray[np.float64]:
        """The index of the image at a spot of the canvas; 2D views only."""
        camera, size = self.viewer.scene.camera, np.array(self.viewer.canvas.size)
        world = (np.array([spot.y(), spot.x()]) - size / 2) / camera.zoom + np.array(camera.center)[-2:]
        place = np.array(self.viewer.dims.point)
        place[-2:] = world
        return self.scene.shown.to_index(place)[0]

    def click(self, index: NDArray[np.floating[Any]]) -> None:
        """A real click on an index of the image."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        spot = self.spot(index)
        QTest.mouseMove(canvas, spot)
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=spot)

    def press(self, key: Qt.Key) -> None:
        """A real key."""
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, key)

    def seen(self) -> Box:
        """The part of the image in view, without its margins."""
        from promptile._napari.images import view_window

        return view_window(self.viewer, self.scene.shown)

    def play(self, script: Script) -> None:
        """Run the event loop until the script has ended."""
        loop = QEventLoop()
        wake = QTimer()
        wake.setSingleShot(True)
        failed: list[BaseException] = []
        until: list[Any] = [0.0, None]

        def step() -> None:
            try:
                if until[1] is not None and not until[1]():
                    if time.perf_counter() > until[0]:
                        raise TimeoutError(f"waited for {_PATIENCE:.0f} s; said last: {self.said[-3:]}")
                    wake.start(_TICK_MS)
                    return
                wanted = next(script)
                until[:] = [time.perf_counter() + _PATIENCE, wanted if callable(wanted) else None]
                wake.start(_TICK_MS if callable(wanted) else round(1000 * wanted))
            except StopIteration:
                loop.quit()
            except BaseException as error:
                failed.append(error)
                loop.quit()

        wake.timeout.connect(step)
        wake.start(0)
        loop.exec()
        if failed:
            raise failed[0]
