"""Asking for one object: marks in, a preview out, until it is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from promptile import models
from promptile._napari.images import hidden_axes, level_seen, view_window
from promptile._napari.widget.bridge import Rest
from promptile._napari.widget.looks import Look, Way
from promptile._napari.widget.seen import Preview
from promptile.counts import counted
from promptile.engine.slices import Slices
from promptile.engine.slices.options import Reach
from promptile.errors import PromptError
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.session import Session, Ticket

if TYPE_CHECKING:
    from promptile._napari.widget.desk import Desk

_RESTS = 0.4
"""Seconds for which the view rests before the model looks ahead."""

SEEN = "seen"
"""The level whose samples are as large as the screen's pixels."""


class Asking:
    """What is asked on a desk, and what the model says to it.

    Parameters
    ----------
    desk : Desk
    """

    previewed = Signal()
    """There is another preview, or none: `preview`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.preview: Preview | None = None
        self.live = True
        """Whether each mark is answered at once."""
        self.level: int | str = SEEN
        self.category = ""
        self.reach: Reach | None = None
        """How far an object is followed through the slices of a volume; None: only as far as there are marks."""
        self.memory = False
        """Whether it is followed by the model's own memory."""
        self._wish: object = None  # the answer that is waited for
        self._ticket: Ticket[Any] | None = None
        self._unasked = False  # whether marks were made that nobody has asked about yet
        self._look_ahead = Rest(_RESTS, self._prepare)
        desk.viewer.scene.camera.events.connect(self._look_ahead.begin)
        desk.viewer.dims.events.connect(self._look_ahead.begin)

    def leave(self) -> None:
        """Another image comes: what is asked of this one is not waited for."""
        self.show(None)
        self._unasked = False

    def close(self) -> None:
        """Ask no more."""
        self._look_ahead.end()
        self._desk.viewer.scene.camera.events.disconnect(self._look_ahead.begin)
        self._desk.viewer.dims.events.disconnect(self._look_ahead.begin)

    def on_marked(self) -> None:
        """The user has made, moved or removed a mark."""
        scene = self._desk.scene
        self._unasked = True
        if self.live or (scene is not None and scene.empty):
            self._desk.bridge.deliver(self.ask)  # napari is still inside its own event

    def ask(self) -> None:
        """Let the model say what the marks mean."""
        desk, scene = self._desk, self._desk.scene
        if scene is None or desk.follow():
            return
        if scene.empty:
            self.show(None)
            desk.preview_of(lambda session: session.withdraw())
            return
        try:
            prompts = scene.prompts()
        except PromptError as error:
            self.show(None)
            desk.told.emit(str(error), True)
            return
        desk.told.emit("Looking …", False)
        way = self._way(prompts)
        self._unasked = False
        done, failed = self._waited_for()
        look = Look(lambda preview: desk.bridge.deliver(lambda: done(preview)))
        self._ticket = desk.preview_of(lambda session: look.ask(session, prompts, way), done, failed)

    @property
    def slicewise(self) -> bool:
        """Whether the model looks at slices of a volume one by one."""
        snapshot = self._desk.snapshot
        return snapshot is not None and snapshot.card.ndim == 2 and snapshot.grid.ndim == 3

    def follow(self, reach: Reach) -> None:
        """Follow the object through the slices, both ways, one way, or to the slice of that index."""
        self.reach = reach
        self.ask()

    def follow_here(self) -> None:
        """Follow the object to the slice that is seen."""
        scene = self._desk.scene
        if scene is not None:
            (axis,) = hidden_axes(self._desk.viewer, scene.shown)
            self.follow(view_window(self._desk.viewer, scene.shown).start[axis])

    def stop(self) -> None:
        """Look at no more slices: the object is what its own slices show."""
        if self._ticket is not None and self.slicewise:
            self._ticket.cancel()
            self.reach = None
            self.ask()

    def _way(self, prompts: Prompts) -> Way:
        """How the marks of now are to be asked."""
        scene = self._desk.scene
        if not self.slicewise or scene is None:
            return Way(self.asked_level)
        axis = next(iter(hidden_axes(self._desk.viewer, scene.shown)), 0)
        marked = max(int(np.ceil(prompts.objects[0].extent[0, axis] - 1e-3)), 0)
        reach = marked if self.reach is None else self.reach
        return Way(self.asked_level, Slices(axis, reach=reach, memory=self.memory))

    def _waited_for(self) -> tuple[Callable[[Preview], None], Callable[[Exception], None]]:
        """Show the answer to what is asked now, or that there is none; of earlier ones nobody hears any more."""
        self._wish = wish = object()

        def done(preview: Preview) -> None:
            if wish is self._wish:
                self.show(preview)

        def failed(error: Exception) -> None:
            if wish is self._wish:
                self.show(None)
                self._unasked = True  # who accepts asks once more
            self._desk.failed(error)

        return done, failed

    def choose(self, candidate: int) -> None:
        """Take another one of the model's answers."""
        done, failed = self._waited_for()
        look = Look(lambda preview: self._desk.bridge.deliver(lambda: done(preview)))
        self._desk.order(lambda session: look.choose(session, candidate), done, failed)

    def choose_next(self) -> None:
        """Take the next larger answer, or the smallest one after the largest."""
        if self.preview is not None and self.preview.thumbnails:
            small = self.preview.thumbnails
            at = next((n for n, thumbnail in enumerate(small) if thumbnail.taken), -1)
            self.choose(small[(at + 1) % len(small)].candidate)

    def accept(self) -> None:
        """Keep what the marks mean."""
        desk, scene = self._desk, self._desk.scene
        if desk.follow():
            return
        if scene is None or scene.empty:
            desk.told.emit("There is nothing to accept: click on an object first", True)
            return
        try:
            marks = scene.prompts()
        except PromptError as error:
            desk.told.emit(str(error), True)
            return
        category, way, unasked = self.category, self._way(marks), self._unasked
        if desk.snapshot is not None and desk.snapshot.revised is not None:
            category = ""  # a correction does not change it
        scene.begin_next()  # at once: what is clicked from now on is about the next object
        self.show(None)
        self._unasked, self.reach = False, None

        def keep(session: Session) -> int:
            if unasked:
                Look().ask(session, marks, way)
            return session.accept(category)

        def failed(error: Exception) -> None:
            if desk.scene is scene and scene.empty:
                scene.show(marks.objects[0])
            desk.failed(error)

        desk.order(keep, lambda number: desk.told.emit(f"Object {number} is kept", False), failed)

    def discard(self) -> None:
        """Begin another object; what was not accepted is dropped."""
        if self._desk.scene is not None:
            self._desk.scene.begin_next()
            self.show(None)
            self.reach = None
            self._desk.order(lambda session: session.discard())

    def revise(self, object_id: int) -> None:
        """Bring an object's marks back, to be corrected."""
        desk, scene = self._desk, self._desk.scene
        if scene is None:
            return

        def done(prompt: Prompt | None) -> None:
            if prompt is None:
                text = f"Object {object_id} has no marks: correct it with the brush, or click to ask for it anew"
            else:
                scene.show(prompt)
                text = f"Object {object_id}: add, move or remove marks, then accept"
            if scene.tool is None:  # the brush that was in hand would paint
                scene.take("object")
            desk.told.emit(text, False)

        scene.clear()
        desk.order(lambda session: session.revise(object_id), done)

    def look(self, **options: object) -> None:
        """Ask in another way: ``model``, ``channels``, ``window``."""
        self._look(lambda session: session.look(level=session.setting.level, **options))

    def load(self, model: str) -> None:
        """Ask a model that is loaded anew, as where models compute has changed."""

        def look(session: Session) -> None:
            loaded = models.load(model, session.source.grid.ndim)
            session.look(level=session.setting.level, model=loaded)

        self._look(look)

    def _look(self, work: Callable[[Session], None]) -> None:
        desk = self._desk

        def failed(error: Exception) -> None:
            desk.failed(error)
            desk.changed.emit()  # the panels show what could not be: back to what is

        desk.order(work, lambda _: self._again(), failed)

    def set_level(self, level: int | str) -> None:
        """Where points are asked: a level, or `SEEN`."""
        self.level = level
        self._again()

    def show(self, preview: Preview | None) -> None:
        """Show what the model means."""
        scene = self._desk.scene
        if scene is None:
            return
        if preview is None:
            self._wish = None
        before, self.preview = self.preview, preview
        if before is None or preview is None or before.sketch is not preview.sketch:
            scene.show_preview(None if preview is None else preview.sketch)
        self.previewed.emit()
        if preview is not None and not preview.whole:
            so_far = f": {counted(preview.slices, 'slice')} so far" if preview.slices else ""
            self._desk.told.emit(f"Following the object{so_far} …", False)
        elif preview is not None:
            unsure = ", open where two answers disagreed" if preview.open_edge else ""
            doubt = f"; it {preview.doubt}" if preview.doubt else ""
            self._desk.told.emit(f"{preview.count:,} samples, score {preview.score:.2f}{unsure}{doubt}", False)

    def _again(self) -> None:
        if self._desk.scene is not None and not self._desk.scene.empty and self.live:
            self.ask()

    @property
    def asked_level(self) -> int:
        """The level at which points are asked now."""
        scene = self._desk.scene
        if isinstance(self.level, int) or scene is None:
            return int(self.level)
        return level_seen(self._desk.viewer, scene.shown)

    def _prepare(self) -> None:
        """The view rests: let the model look at it, so that the next click is answered at once."""
        desk, scene = self._desk, self._desk.scene
        if scene is None or desk.follow() or desk.worker.busy:
            return
        window, level = view_window(desk.viewer, scene.shown), self.asked_level
        if not window.empty:
            desk.idle(lambda session: session.prepare(window, level))
