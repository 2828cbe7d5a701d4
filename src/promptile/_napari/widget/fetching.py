"""Getting a model's weights while the work goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from psygnal import Signal

from promptile.engine.progress import Cancelled, one_line
from promptile.errors import PromptileError
from promptile.models.fetching import fetch
from promptile.models.published import Published

if TYPE_CHECKING:
    from promptile._napari.widget.desk import Desk


class Fetching:
    """The download of a desk: one at a time, in a thread of its own, as the worker's would keep clicks waiting.

    Parameters
    ----------
    desk : Desk
    """

    progressed = Signal(str, int, int)
    """What is done, bytes done, bytes in all."""
    ended = Signal(str, bool)
    """The model whose weights were wanted, and whether they are here now."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stop: threading.Event | None = None

    @property
    def going_on(self) -> bool:
        """Whether weights are on their way."""
        return self._stop is not None

    def begin(self, wanted: Published, *, accept: bool) -> None:
        """Get weights; what an earlier try has got already is gone on with."""
        if self.going_on:
            return
        self._stop = stop = threading.Event()
        thread = threading.Thread(
            target=self._fetch, args=(wanted, accept, stop), name="promptile-fetching", daemon=True
        )
        thread.start()

    def cancel(self) -> None:
        """Stop; the same wish goes on from there."""
        if self._stop is not None:
            self._stop.set()

    def _fetch(self, wanted: Published, accept: bool, stop: threading.Event) -> None:
        def progress(what: str, done: int, total: int) -> None:
            if stop.is_set():
                raise Cancelled
            self._desk.bridge.deliver(lambda: self.progressed.emit(what, done, total), instead_of=stop)

        told, here = f"The weights of {wanted.model} are here", True
        try:
            fetch(wanted, accept=accept, progress=progress)
        except Cancelled:
            told, here = "Stopped: fetching goes on from here", False
        except PromptileError as error:
            told, here = str(error), False
        except Exception as error:  # the window hears of it, whatever it is
            told, here = one_line(error), False

        def end() -> None:
            self._stop = None
            self._desk.told.emit(told, not here and not stop.is_set())
            self.ended.emit(wanted.model, here)

        self._desk.bridge.deliver(end)
