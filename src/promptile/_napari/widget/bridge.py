"""From the worker's thread to the window's."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer, Signal


class Bridge(QObject):
    """Has things called in the thread that made it, in turn, between two events of the window.

    Never one inside another, though what is called may have the window handle its events, as napari's progress bars
    do with every step: a worker that reports fast enough would otherwise nest calls until the stack is full.
    """

    _said = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._calls: deque[tuple[object, Callable[[], None]]] = deque()
        self._adding = threading.Lock()
        self._calling = False
        self._said.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def deliver(self, call: Callable[[], None], instead_of: object = None) -> None:
        """Call it soon; from any thread.

        Parameters
        ----------
        call : callable
        instead_of : object, optional
            What the call is about: if the last one that waits is about the same, this one takes its place.
        """
        with self._adding:
            if instead_of is not None and self._calls and self._calls[-1][0] is instead_of:
                self._calls.pop()
            self._calls.append((instead_of, call))
        self._say()

    def _say(self) -> None:
        with contextlib.suppress(RuntimeError):  # the window is gone, and nobody is left to be told
            self._said.emit()

    def _call(self) -> None:
        if self._calling:
            return
        with self._adding:
            if not self._calls:  # another took its place
                return
            _, call = self._calls.popleft()
        self._calling = True
        try:
            call()
        finally:
            self._calling = False
            if self._calls:
                self._say()


class Rest:
    """Calls something once nothing has happened for a while.

    Parameters
    ----------
    seconds : float
    call : callable
    """

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(round(seconds * 1000))
        self._timer.timeout.connect(call)

    def begin(self, *_: object) -> None:
        """Something happened: wait anew."""
        self._timer.start()

    def end(self) -> None:
        """Do not call any more."""
        self._timer.stop()
