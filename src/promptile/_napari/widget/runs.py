"""Runs over many tiles, in the background, and what they found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Layer, Points, Shapes
from psygnal import Signal

from promptile._napari.categories import colormap_of
from promptile._napari.images import view_window
from promptile._napari.layers import LayerTuple, labels_layer
from promptile._napari.marks import prompts_of
from promptile._napari.placement import Placement
from promptile.counts import counted
from promptile.engine.flatten import Keep
from promptile.errors import PromptError, PromptileError
from promptile.prompts.prompts import Prompts
from promptile.run import Run
from promptile.session import Named, Request, Session, Ticket, waiting

if TYPE_CHECKING:
    from promptile._napari.widget.desk import Desk

Where = Literal["view", "area", "image"]


@dataclass(frozen=True)
class Wish:
    """What the user chose in the panel.

    Parameters
    ----------
    points, shapes : layers, optional
        Prompts; without both, everything is wanted.
    where : {"view", "area", "image"}
    area : Shapes, optional
        Where it is wanted, for ``area``.
    keep : {"best", "whole", "part", "all"}
    min_region : int
    named : Named, optional
        What is looked for by name; points and shapes correct what is found then.
    """

    points: Points | None = None
    shapes: Shapes | None = None
    where: Where = "image"
    area: Shapes | None = None
    keep: Keep = "best"
    min_region: int = 0
    named: Named | None = None


class Runs:
    """The runs of a desk: one at a time, while the clicking goes on.

    Parameters
    ----------
    desk : Desk
    """

    progressed = Signal(str, int, int)
    """What is done, how much of it, how much there is."""
    ended = Signal()
    """No run is going on any more."""
    remembered = Signal()
    """Other runs can be gone on with: `unfinished`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ticket: Ticket[Any] | None = None
        self._wish: object = None  # the run that is waited for
        self.unfinished: list[Request] = []
        self.least = 0.0
        """How sure a detector must be of what is shown, taken and reviewed."""
        self.found: dict[Layer, Run] = {}
        """Runs that are shown, by their layer."""

    @property
    def going_on(self) -> bool:
        """Whether a run is going on."""
        return self._ticket is not None

    def remember(self, unfinished: Sequence[Request]) -> None:
        """Offer the runs that were interrupted."""
        self.unfinished = list(unfinished)
        self.remembered.emit()

    def begin(self, wish: Wish) -> None:
        """Begin a run, or go on with the same one that was interrupted."""
        try:
            self.go_on(self._request(wish))
        except PromptileError as error:
            self._desk.told.emit(str(error), True)

    def _request(self, wish: Wish) -> Request:
        scene = self._desk.scene
        if scene is None:
            raise PromptError("There is no image to run on: choose one first")
        shown, area, prompts = scene.shown, None, None
        if wish.where == "view":
            window = view_window(self._desk.viewer, shown)
            if window.empty:
                raise PromptError("The view shows nothing of the image: move it there, or choose the whole image")
            area = Prompts.of(boxes=[_box(window.start, window.stop)])
        elif wish.where == "area":
            area = prompts_of(None, wish.area, shown, single=False)
            if not len(area):
                raise PromptError("The area is empty: draw a rectangle or polygon in its layer")
        if wish.points is not None or wish.shapes is not None:
            prompts = prompts_of(wish.points, wish.shapes, shown, single=False)
            if not len(prompts):
                raise PromptError("There are no prompts in these layers: add points or boxes, or choose everything")
        level = None if prompts is None else self._desk.asking.asked_level
        return Request(prompts, area, wish.keep, wish.min_region, level, wish.named)

    def go_on(self, request: Request) -> None:
        """Compute a run in the background."""
        desk = self._desk
        if self.going_on:
            desk.told.emit("A run is going on: wait for it, or cancel it", True)
            return
        self._wish = wish = object()

        def of_now(call: Callable[..., None]) -> Callable[..., None]:
            return lambda *given: call(*given) if wish is self._wish else None

        self._ticket = desk.background(
            lambda session: self._run(session, request), of_now(self._done), of_now(self._failed), of_now(self._end)
        )
        if self._ticket is not None:
            self.progressed.emit("tiles", 0, 0)
            desk.told.emit("Running in the background; go on clicking", False)

    def _run(self, session: Session, request: Request) -> tuple[Run, LayerTuple | None]:
        """The run and how it is shown, in the worker's thread: all of its labels are read for that."""
        desk, scene = self._desk, self._desk.scene

        def progress(what: str, done: int, total: int) -> None:
            desk.worker.checkpoint()
            desk.bridge.deliver(lambda: self.progressed.emit(what, done, total), instead_of=request)

        run = request.run(session, progress)
        if scene is None:
            return run, None
        data, attributes, kind = labels_layer(run, Placement.among([scene.shown.layer], scene.shown.grid))
        if isinstance(data, list):
            data[-1] = np.asarray(data[-1])
        return run, (data, attributes, kind)

    def cancel(self) -> None:
        """End the run; what is finished is kept, and the same run goes on from there."""
        if self._ticket is not None:
            self._ticket.cancel()
            self._desk.told.emit("Stopping after this tile …", False)

    def _done(self, found: tuple[Run, LayerTuple | None]) -> None:
        run, shown = found
        self._end(told=f"{counted(len(run.objects), 'object')} found")
        scene = self._desk.scene
        if scene is None or shown is None:
            return
        data, attributes, kind = shown
        attributes["name"] = f"{scene.shown.layer.name} {run.name.partition('-')[0]}"
        layer = Layer.create(data, attributes, kind)
        for old in [old for old, other in self.found.items() if other.path == run.path]:
            self.found.pop(old)  # it was made anew
            if old in self._desk.viewer.layers:
                self._desk.viewer.layers.remove(old)
        self.found[layer] = run
        self._show_sure(layer, run)
        layers = self._desk.viewer.layers
        active = layers.selection.active
        layers.insert(layers.index(scene.results.layer), layer)
        layers.selection.active = active  # the user is at something else
        if run.failed:
            some = ", ".join(map(str, run.failed[:4]))
            text = f"{counted(len(run.failed), run.failed[0].kind)} failed ({some}): run it again to try them again"
            self._desk.told.emit(text, True)

    def _failed(self, error: Exception) -> None:
        self._end()
        self._desk.failed(error)

    def _end(self, told: str = "Stopped: the same run goes on from here") -> None:
        self._ticket = None
        self.ended.emit()
        self._desk.told.emit(told, False)
        if self._desk.scene is not None:
            self._desk.order(waiting, self.remember)

    def leave(self) -> None:
        """Another image comes: end the run at hand, and show nothing more of those that were."""
        if self._ticket is not None:
            self._ticket.cancel()
        self._ticket = self._wish = None
        self.ended.emit()
        self.found = {}
        self.unfinished = []
        self.remembered.emit()

    def latest(self) -> Run | None:
        """The run whose layer is selected, else the one that was shown last."""
        layers = self._desk.viewer.layers
        shown = {layer: run for layer, run in self.found.items() if layer in layers}
        self.found = shown
        active = layers.selection.active
        return shown.get(active) or next(reversed(shown.values()), None)

    def take_all(self, category: str = "") -> None:
        """Make all objects of a run the session's own."""
        run = self.latest()
        if run is None:
            self._desk.told.emit("There are no proposals: run everything, or prompts, first", True)
            return
        ids = self.wanted(run)
        if run.objects["category"].astype(bool).any():
            category = ""  # they have names of their own, as marks from a file do
        self._desk.order(lambda session: session.take(run, ids, category), lambda _: self.hide(run))

    def sift(self, least: float) -> None:
        """Show only what a detector is at least so sure of; nothing is computed for that."""
        self.least = least
        for layer, run in self.found.items():
            self._show_sure(layer, run)

    def wanted(self, run: Run) -> list[int]:
        """The objects of a run that are shown."""
        objects = run.objects
        if "detection" in objects:
            objects = objects[~(objects["detection"] < self.least)]  # what only the user has seen has no such score
        return [int(i) for i in objects["id"]]

    def _show_sure(self, layer: Any, run: Run) -> None:
        objects = run.objects
        if "detection" in objects:
            layer.colormap = colormap_of(objects, self.wanted(run))

    def hide(self, run: Run) -> None:
        """Hide the layers that show a run, or one would not see what is taken from it."""
        for layer, shown in self.found.items():
            if shown is run:
                layer.visible = False


def _box(start: Sequence[int], stop: Sequence[int]) -> list[list[float]]:
    return [[a - 0.5 for a in start], [b - 0.5 for b in stop]]
