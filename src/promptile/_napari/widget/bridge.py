"""From the worker's thread to the window's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer, Signal


class Bridge(QObject):
    """Has things called in the thread that made it, between two events of the window."""

    _said = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._said.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def deliver(self, call: Callable[[], None]) -> None:
        """Call it soon; from any thread."""
        with contextlib.suppress(RuntimeError):  # the window is gone, and nobody is left to be told
            self._said.emit(call)

    def _call(self, call: Callable[[], None]) -> None:
        call()


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
