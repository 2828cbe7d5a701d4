"""What can be done to objects that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from promptile._napari.images import view_window
from promptile._napari.widget.bridge import Rest
from promptile._napari.widget.flight import fly_to
from promptile._napari.widget.seen import words_of
from promptile.counts import counted
from promptile.errors import UsageError
from promptile.grid import Window
from promptile.measuring import brief, measure_run
from promptile.run import Record, Step
from promptile.session import Session, Stroke

if TYPE_CHECKING:
    from promptile._napari.widget.desk import Desk

_STROKES = 0.5
"""Seconds after the last stroke of the brush until it is kept."""


class Objects:
    """The objects on a desk.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._later = Rest(_STROKES, self.keep_strokes)
        self._measured: dict[tuple[int, int], Mapping[str, float]] = {}

    def close(self) -> None:
        """Wait for no more strokes."""
        self._later.end()

    def on_painted(self) -> None:
        """The user paints on the labels: kept when the brush rests."""
        self._later.begin()

    def keep_strokes(self) -> None:
        """Keep what was painted."""
        self._later.end()
        desk, scene = self._desk, self._desk.scene
        strokes: Sequence[Stroke] = scene.results.taken() if scene is not None else ()
        if not strokes:
            return
        category = desk.asking.category

        def read_again(_: object = None) -> None:
            if desk.scene is scene and scene is not None:
                for stroke in strokes:
                    scene.results.refresh(stroke.window)

        def failed(error: Exception) -> None:
            read_again()
            desk.failed(error)

        desk.order(lambda session: session.paint(strokes, category), read_again, failed)

    def rename(self, object_ids: Iterable[int], category: str) -> None:
        """Give objects a category."""
        ids = list(object_ids)
        self._desk.order(lambda session: session.rename(ids, category))

    def recolour(self, object_ids: Iterable[int], colour: str) -> None:
        """Give objects a colour."""
        ids = list(object_ids)
        self._desk.order(lambda session: session.recolour(ids, colour))

    def delete(self, object_ids: Iterable[int]) -> None:
        """Remove objects."""
        ids = list(object_ids)
        self._desk.order(lambda session: session.delete(ids))

    def measure(self, object_ids: Iterable[int]) -> None:
        """Measure objects in the image, in the background; what is known of them already is not measured again."""
        desk = self._desk
        states = {} if desk.snapshot is None else desk.snapshot.states
        versions = {i: states[i].record.version for i in object_ids if i in states}
        ids = [i for i, version in versions.items() if (i, version) not in self._measured]

        def work(session: Session) -> dict[tuple[int, int], Mapping[str, float]]:
            rows = measure_run(session.run, session.source, ids, desk.worker.checkpoint)
            return {(row["id"], versions[row["id"]]): brief(row) for row in rows}

        def done(found: Mapping[tuple[int, int], Mapping[str, float]]) -> None:
            self._measured |= found
            desk.told.emit(f"Measured {counted(len(versions), 'object')}", False)
            desk.changed.emit()

        if ids:
            desk.told.emit("Measuring …", False)
        desk.background(work, done, desk.failed, lambda: None)

    def measured(self, record: Record) -> Mapping[str, float]:
        """What was measured of an object as it is now; nothing if it was not."""
        return self._measured.get((record.id, record.version), {})

    def forget(self) -> None:
        """Another image comes."""
        self._measured = {}

    def show(self, object_id: int) -> None:
        """Fly to an object, and take it in hand for the brush."""
        desk = self._desk
        if desk.snapshot is None or desk.scene is None or object_id not in desk.snapshot.states:
            return
        record = desk.snapshot.states[object_id].record
        if record.count:
            fly_to(desk.viewer, desk.scene.shown, Window.between(*record.bbox))
        desk.scene.results.layer.selected_label = object_id

    def brush(self, object_id: int) -> None:
        """Take napari's brush in hand for an object; of a large image, in the part that is in view."""
        desk, scene = self._desk, self._desk.scene
        if scene is None:
            return
        self.show(object_id)
        layer = scene.results.layer
        if not scene.results.paintable:
            try:
                layer = scene.results.edit(view_window(desk.viewer, scene.shown))
            except UsageError as error:
                desk.told.emit(str(error), True)
                return
            desk.layered.emit(layer)
        layer.selected_label = object_id
        desk.viewer.layers.selection.active = layer
        layer.mode = "paint"
        desk.told.emit(f"Painting on object {object_id}; napari's eraser takes parts away", False)

    def undo(self) -> None:
        """Take back the last mark that is not accepted, else a correction that was begun, else the last step."""
        scene = self._desk.scene
        if scene is not None and scene.take_back_mark():
            return
        if scene is not None and not scene.empty:  # marks that were brought back, to correct an object
            self._desk.asking.discard()
            self._desk.told.emit("The marks are dropped", False)
            return
        self._desk.order(lambda session: session.undo(), lambda step: self._tell(step, "Taken back"))

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._desk.order(lambda session: session.redo(), lambda step: self._tell(step, "Done again"))

    def _tell(self, step: Step | None, what: str) -> None:
        self._desk.told.emit("There is nothing more" if step is None else f"{what}: {words_of(step)}", False)
