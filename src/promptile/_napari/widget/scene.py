"""The layers of one session in the viewer: marks, labels and preview, with the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from napari.layers import Image, Layer
from psygnal import Signal

from promptile._napari.images import Shown, view_window
from promptile._napari.marks import (
    clear,
    is_positive,
    new_marks,
    place_of_grid,
    prompts_of,
    set_positive,
    show_prompts,
)
from promptile._napari.placement import KEY, Placement
from promptile._napari.preview import PreviewLayer
from promptile._napari.results import ResultLayer
from promptile._napari.sketch import Sketch
from promptile._napari.transforms import put
from promptile._napari.watch import on_marks_changed
from promptile._napari.widget.bridge import Rest
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.rendering import Rendering
from promptile.run import Run

_MOVED = 0.1
"""Seconds after the image's last movement until its marks and objects follow."""

Tool = Literal["object", "other", "box", "area"]
"""What a mark is: a point on the object, one beside it, a box around it, its rough outline."""

_MODES: dict[Tool, str] = {"box": "add_rectangle", "area": "add_polygon"}
_TOOLS: dict[str, Tool] = {mode: tool for tool, mode in _MODES.items()}


class Scene:
    """What a session has in the viewer. The user may rename, move and delete all of it.

    Parameters
    ----------
    viewer : ViewerModel
    shown : Shown
        The image.
    run : Run
        Of the session.
    """

    marked = Signal()
    """The marks have changed, by the user."""

    layer_gone = Signal()
    """A layer of the session was deleted."""

    image_gone = Signal()
    """The image's layer was deleted."""

    image_changed = Signal()
    """The image's layer shows another image."""

    def __init__(self, viewer: Any, shown: Shown, run: Run) -> None:
        self.viewer, self.shown = viewer, shown
        name = shown.layer.name
        self._run = run
        self.results = self._new_results()
        self.preview = PreviewLayer(viewer)
        self._sketch: Sketch | None = None
        self.points, self.shapes = new_marks(shown, name)
        self._trail: list[Layer] = []
        self._stop_watching: Callable[[], None] = lambda: None
        for layer in (self.shapes, self.points):
            viewer.add_layer(layer)
        self._watch()
        viewer.layers.events.removed.connect(self._on_removed)
        shown.layer.events.data.connect(self._on_data)
        self._moved = Rest(_MOVED, self._follow)
        for event in self._moves:
            event.connect(self._moved.begin)

    @property
    def own(self) -> list[Layer]:
        """The layers that are the session's."""
        return [self.points, self.shapes, self.results.layer]

    @property
    def tool(self) -> Tool | None:
        """What the mouse does now."""
        active = self.viewer.layers.selection.active
        if active is self.points and self.points.mode == "add":
            return "object" if is_positive(self.points) else "other"
        if active is self.shapes:
            return _TOOLS.get(str(self.shapes.mode))
        return None

    def take(self, tool: Tool) -> None:
        """Let the mouse make marks of a kind."""
        if tool in ("object", "other"):
            self.viewer.layers.selection.active = self.points
            self.points.selected_data = set()
            set_positive(self.points, tool == "object")
            self.points.mode = "add"
        else:
            self.viewer.layers.selection.active = self.shapes
            self.shapes.mode = _MODES[tool]

    def render(self, rendering: Rendering) -> None:
        """Show the image's channels as the model sees them."""
        known = self.shown.layer.metadata.get(KEY, {})
        for layer in self.viewer.layers:
            same = layer is self.shown.layer or (known and layer.metadata.get(KEY, {}).get("path") == known.get("path"))
            channel = layer.metadata.get(KEY, {}).get("channel", 0)
            if isinstance(layer, Image) and same and not layer.rgb and channel in rendering.channels:
                at = rendering.channels.index(channel)
                limits = [rendering.low[at], rendering.high[at]]
                if list(layer.contrast_limits) != limits:
                    layer.contrast_limits = limits

    def prompts(self) -> Prompts:
        """What the marks say, as one object.

        Raises
        ------
        PromptError
            If they say nothing that a model can be asked.
        """
        return prompts_of(self.points, self.shapes, self.shown, single=True)

    def show(self, prompt: Prompt) -> None:
        """Put marks there that say this."""
        show_prompts(self.points, self.shapes, prompt, self.shown)
        self._trail.clear()

    def clear(self) -> None:
        """Remove all marks."""
        clear(self.points, self.shapes)
        self._trail.clear()

    def begin_next(self) -> None:
        """Remove all marks; the first one of the next object is on it."""
        self.clear()
        if self.tool == "other":
            self.take("object")

    @property
    def empty(self) -> bool:
        """Whether there are no marks."""
        return not len(self.points.data) and not len(self.shapes.data)

    def take_back_mark(self) -> bool:
        """Remove the mark made last; whether there was one."""
        while self._trail:
            layer = self._trail.pop()
            if len(layer.data):
                layer.selected_data = {len(layer.data) - 1}
                layer.remove_selected()
                return True
        return False

    def show_preview(self, sketch: Sketch | None) -> None:
        """Show what would be accepted; nothing for None."""
        self._sketch = sketch
        if sketch is None:
            self.preview.clear()
        else:
            self.preview.show(sketch, self.results.place, view_window(self.viewer, self.shown))

    def close(self) -> None:
        """Take the session's layers away; the image stays."""
        self._stop_watching()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.shown.layer.events.data.disconnect(self._on_data)
        self._moved.end()
        for event in self._moves:
            event.disconnect(self._moved.begin)
        self.results.close()
        self.preview.remove()
        for layer in (self.points, self.shapes):
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _watch(self) -> None:
        self._counts = {layer: len(layer.data) for layer in (self.points, self.shapes)}
        self._stop_watching()
        self._stop_watching = on_marks_changed(self.points, self.shapes, self._on_marked)

    def _on_marked(self) -> None:
        for layer in (self.points, self.shapes):
            grown = len(layer.data) - self._counts.get(layer, 0)
            self._trail += [layer] * max(grown, 0)
            self._counts[layer] = len(layer.data)
        self.marked.emit()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.shown.layer:
            self.image_gone.emit()
        elif event.value in self.own:
            self.layer_gone.emit()

    def renew(self) -> list[Layer]:
        """Put new layers where some were deleted: objects are there again, marks are not."""
        before = self.own
        if self.results.layer not in self.viewer.layers:
            self.results = self._new_results()
        points, shapes = new_marks(self.shown, self.shown.layer.name)
        if self.shapes not in self.viewer.layers:
            self.shapes = self.viewer.add_layer(shapes)
        if self.points not in self.viewer.layers:
            self.points = self.viewer.add_layer(points)
        self._watch()
        return [layer for layer in self.own if layer not in before]

    @property
    def here(self) -> bool:
        """Whether the sliders are where the image was opened: along time, a layer is many images."""
        return bool(self.shown.here([self.viewer.dims.point])[0])

    @property
    def _moves(self) -> list[Any]:
        events = self.shown.layer.events
        return [events.scale, events.translate, events.rotate, events.shear, events.affine]

    def _follow(self) -> None:
        """The image was moved: so are its marks and objects."""
        place = place_of_grid(self.shown)
        self.results.put(place)
        for layer in (self.points, self.shapes):
            put(layer, place)
        if self._sketch is not None:
            self.show_preview(self._sketch)

    def _new_results(self) -> ResultLayer:
        results = ResultLayer(self.viewer, self._run, Placement.among([self.shown.layer], self.shown.grid))
        results.put(place_of_grid(self.shown))  # where the user has the image now
        results.layer.name = f"{self.shown.layer.name} objects"
        return results

    def _on_data(self, event: Any = None) -> None:
        self.image_changed.emit()
