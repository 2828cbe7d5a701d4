"""The desk: one image of a viewer, the session about it, and the worker that owns it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from napari.layers import Image, Layer
from napari.utils.notifications import show_warning
from psygnal import Signal

from promptile._napari.settings import Settings
from promptile._napari.widget.asking import SEEN, Asking
from promptile._napari.widget.bridge import Bridge
from promptile._napari.widget.fetching import Fetching
from promptile._napari.widget.objects import Objects
from promptile._napari.widget.opening import Opened, open_session, runs_shown
from promptile._napari.widget.reviewing import Reviewing
from promptile._napari.widget.runs import Runs
from promptile._napari.widget.scene import Scene
from promptile._napari.widget.seen import Snapshot, table_of
from promptile.counts import counted
from promptile.disks import is_refusal
from promptile.engine.progress import one_line
from promptile.errors import PromptileError
from promptile.grid import Window
from promptile.session import Session, Ticket, Worker, put_away
from promptile.session.ledger import repainted

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Desk:
    """Where the user's wishes become orders to the worker, and what it gives becomes layers and signals.

    Everything here is called in the window's thread and returns at once. `asking`, `objects`, `runs`, `reviewing`
    and `fetching` say what can be done.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    opened = Signal()
    """Another image is on the desk, or none."""
    changed = Signal()
    """Objects, steps or the way to ask have changed: `snapshot`."""
    layered = Signal(object)
    """A layer of the session's own was made."""
    told = Signal(str, bool)
    """A line for the user, and whether it is about something that went wrong."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.bridge = Bridge()
        self.worker = Worker(self.bridge.deliver)
        self.settings = Settings.read()
        self.settings.use()
        self.scene: Scene | None = None
        self.snapshot: Snapshot | None = None
        self._session: Session | None = None
        self._wish: object = None  # the opening that is waited for
        self._opening: Image | None = None
        self._unwanted: Session | None = None  # what was opened, until the window takes it
        self.asking = Asking(self)
        self.objects = Objects(self)
        self.runs = Runs(self)
        self.reviewing = Reviewing(self)
        self.fetching = Fetching(self)

    @property
    def opening(self) -> Image | None:
        """The image that is open, or being opened."""
        return self._opening

    def open(self, layer: Image, model: str = "") -> None:
        """Begin or go on with the work on an image."""
        self._opening = layer
        self._put_down()
        self._wish = wish = object()
        model, folder = model or self.settings.model, self.settings.sessions_folder

        runs, checkpoint = runs_shown(self.viewer), self.worker.checkpoint

        def done(found: Opened) -> None:
            if wish is self._wish and layer in self.viewer.layers:
                self._unwanted = None
                self._arrange(found)
            else:  # another one was wanted meanwhile
                self.worker.order(self._put_unwanted_away, lambda _: None, self.failed)

        def failed(error: Exception) -> None:
            if wish is self._wish:
                self._opening = None
            self.failed(error)

        def work() -> Opened:
            self._put_unwanted_away()  # it may hold what is opened now
            found = open_session(self.viewer, layer, model, folder, checkpoint, runs)
            self._unwanted = found.session
            return found

        self.told.emit(f"Opening {layer.name} …", False)
        self.worker.order(work, done, failed)

    def _put_unwanted_away(self) -> None:
        """In the worker's thread."""
        session, self._unwanted = self._unwanted, None
        if session is not None:
            put_away(session)

    def _arrange(self, found: Opened) -> None:
        self._session = found.session
        if found.own in self.viewer.layers:
            self.viewer.layers.remove(found.own)  # the session shows it itself
        self.scene = scene = Scene(self.viewer, found.shown, found.session.run)
        scene.marked.connect(self.asking.on_marked)
        scene.layer_gone.connect(self._on_layer_gone)
        scene.image_gone.connect(self._on_image_gone)
        scene.image_changed.connect(self._on_image_changed)
        self._welcome(scene.own)
        self.asking.level = SEEN
        self._learn(found.snapshot)
        self.runs.found |= found.proposed
        self.runs.remember(found.unfinished)
        self.opened.emit()
        known = counted(len(found.snapshot.states), "object") if found.snapshot.states else ""
        self.told.emit(f"Going on with {known} from before" if known else "Click on an object", False)
        if found.draft is not None:
            scene.show(found.draft)
            self.told.emit("Going on with what was not accepted yet", False)

    def leave(self) -> None:
        """Put the image away; what was done is kept."""
        self._opening = self._wish = None
        self._put_down()

    def follow(self) -> bool:
        """Go on with the image that is seen, if the sliders were moved to another one of the layer."""
        layer, snapshot = self._opening, self.snapshot
        if layer is None or snapshot is None or self.scene is None or self.scene.here:
            return False
        self.open(layer, snapshot.card.name)
        return True

    def _put_down(self) -> None:
        if self._session is None or self.scene is None:
            return
        self.runs.leave()
        self.reviewing.end()
        self.objects.keep_strokes()
        self.objects.forget()
        self.asking.leave()
        session, scene = self._session, self.scene
        self._session = self.scene = self.snapshot = None
        scene.close()
        self._put_away(session)
        self.opened.emit()

    def close(self) -> None:
        """The window is closed: end the work, and keep what is finished."""
        self.leave()
        self.fetching.cancel()
        self.asking.close()
        self.objects.close()
        self.worker.close()

    def order(
        self,
        work: Callable[[Session], T],
        done: Callable[[T], None] = lambda _: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Have something done with the session, after all that was said before; then show what has changed."""
        session = self._session
        if session is None:
            self.told.emit("Choose an image first", True)
            return
        self.objects.keep_strokes()

        def whole() -> tuple[T, list[Window], Snapshot]:
            journal = session.run.journal
            before = journal.done
            given = work(session)
            first, last = sorted((before, journal.done))
            windows = [window for step in journal.steps[first:last] for window in repainted(step)]
            return given, windows, Snapshot.of(session)

        def told(found: tuple[T, list[Window], Snapshot]) -> None:
            given, windows, snapshot = found
            if session is self._session and self.scene is not None:
                for window in windows:
                    self.scene.results.refresh(window)
                self._learn(snapshot)
                done(given)

        self.worker.order(whole, told, failed or self.failed)

    def preview_of(
        self,
        work: Callable[[Session], T],
        done: Callable[[T], None] = lambda _: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> Ticket[T] | None:
        """Have something computed that is given up for the next such wish; None without an image."""
        session = self._session
        if session is None:
            return None
        return self.worker.preview(lambda: work(session), done, failed or self.failed)

    def background(
        self,
        work: Callable[[Session], T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
        ended: Callable[[], None],
    ) -> Ticket[T] | None:
        """Have something long done that lets everything else go first; None without an image."""
        session = self._session
        if session is None:
            return None
        self.objects.keep_strokes()
        return self.worker.background(lambda: work(session), done, failed, ended)

    def idle(self, work: Callable[[Session], None]) -> None:
        """Have something done if there is nothing else to do."""
        session = self._session
        if session is not None:
            self.worker.idle(lambda: work(session))

    def failed(self, error: Exception) -> None:
        """Tell the user why something was not done."""
        if not isinstance(error, PromptileError) and not is_refusal(error):
            _log.error("Work for the window failed", exc_info=error)
        self._warn(one_line(error, "" if self.snapshot is None else self.snapshot.path))

    def _learn(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot
        if self.scene is not None and snapshot is not None:
            colours = {i: state.colour for i, state in snapshot.states.items() if state.colour}
            self.scene.results.describe(table_of(snapshot.states), colours)
        self.changed.emit()

    def _put_away(self, session: Session) -> None:
        self.worker.order(lambda: put_away(session), lambda _: None, self.failed)

    def _welcome(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            if self.scene is not None and layer is self.scene.results.layer:
                self.scene.results.painted.connect(self.objects.on_painted)
            self.layered.emit(layer)

    def _on_layer_gone(self) -> None:
        scene = self.scene

        def renew() -> None:
            if scene is not None and scene is self.scene and scene.shown.layer in self.viewer.layers:
                self.objects.keep_strokes()
                self._welcome(scene.renew())
                self._learn(self.snapshot)
                self.asking.ask()

        self.bridge.deliver(renew)  # not while napari removes layers: it would remove the new one too

    def _on_image_gone(self) -> None:
        scene = self.scene

        def leave() -> None:
            if scene is self.scene:  # and the window is not closed
                self._warn("The image was removed; its objects are kept: open it again to go on")
                self.leave()

        self.bridge.deliver(leave)

    def _on_image_changed(self) -> None:
        layer, snapshot = self._opening, self.snapshot
        if layer is not None and snapshot is not None:
            self._warn(f"{layer.name} shows another image now; the objects of the one before are kept")
            self.bridge.deliver(lambda: self.open(layer, snapshot.card.name))

    def _warn(self, text: str) -> None:
        self.told.emit(text, True)
        show_warning(text)
