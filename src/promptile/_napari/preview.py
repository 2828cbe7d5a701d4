"""The object that a model has just found, shown at once whatever its size.

A layer that is given another array or another place has napari slice it, fit sliders and redraw all layers, which takes
it 20 to 60 ms. So the preview's layer covers what is seen, and another object in it changes only its own samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from promptile._napari.redraw import redraw
from promptile._napari.sketch import SHOWN, Sketch
from promptile._napari.transforms import add_quietly, moved, put
from promptile.grid import Window

_SEEN = {2: SHOWN[2], 3: 4 * SHOWN[3]}
"""Samples of the layer at most, by number of dimensions; of a volume only a slice is drawn."""

_COLOUR = (1.0, 0.16, 0.83)  # neither water, fields, skin nor bone
_FILL, _LINE = 0.3, 1.0
"""Opacity of what is inside, and of the outline, which is seen on any ground."""
_WIDTH = 2.0  # of the outline, in pixels of the screen


class PreviewLayer:
    """The layer of an object that is not kept yet; its label is 1, and in slices 2 along its edge.

    Parameters
    ----------
    viewer : ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._board: _Board | None = None
        self._drawn = Window.of((0,))
        self.layer: Labels | None = None
        """None before the first object is shown."""

    def show(self, sketch: Sketch, attributes: Mapping[str, Any], seen: Window) -> None:
        """Show an object instead of the last one.

        Parameters
        ----------
        sketch : Sketch
        attributes : mapping
            What places the image: `Placement.attributes`, or `placing` of a layer.
        seen : Window
            The part of the image in which the next objects are expected.
        """
        if self._viewer.dims.ndisplay == 3:
            seen = sketch.window  # all of the layer is drawn, and what is empty costs as much
        board, layer = self._board, self.layer
        if board is None or layer is None or layer not in self._viewer.layers or not board.takes(sketch):
            board = _Board.around(sketch, seen)
            layer = self._renewed(board, attributes)
            before = Window.of((0,) * len(board.shape))
        else:
            put(layer, board.place(attributes))
            before = self._drawn
        self._drawn = board.part(sketch)
        layer.data[before.slices] = 0
        layer.data[self._drawn.slices] = self._outlined(sketch.finer(board.steps), layer)
        if layer.visible:
            redraw(layer, before | self._drawn)
        else:
            layer.visible = True

    def clear(self) -> None:
        """Show no object."""
        if self.layer is not None and not self._drawn.empty:
            self.layer.data[self._drawn.slices] = 0
            redraw(self.layer, self._drawn)
            self._drawn = Window.of((0,) * self._drawn.ndim)

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def _renewed(self, board: _Board, attributes: Mapping[str, Any]) -> Labels:
        """The layer, or another one if there is none, with nothing on a board."""
        samples, place = np.zeros(board.shape, np.uint8), board.place(attributes)
        if self.layer is None or self.layer not in self._viewer.layers:
            # no map from labels to colours: napari would compile one for most of a second
            colours = np.array([(0, 0, 0, 0), (*_COLOUR, _FILL), (*_COLOUR, _LINE)])
            looks = CyclicLabelColormap(colors=colours, background_value=0)
            self.layer = Labels(samples, name="preview", colormap=looks, opacity=1, **place)
            add_quietly(self._viewer, self.layer)
        else:
            self.layer.data = samples
            put(self.layer, place)
        self.layer.editable = False
        self._board = board
        return self.layer

    def _outlined(self, samples: NDArray[np.uint8], layer: Labels) -> NDArray[np.uint8]:
        """Samples of an object, 2 along the edge that is seen in a slice."""
        dims = self._viewer.dims
        axes = [axis - dims.ndim for axis in dims.displayed]
        if len(axes) > 2 or -min(axes) > samples.ndim:
            return samples
        side = self._viewer.scene.camera.zoom * float(np.max(np.abs(np.asarray(layer.scale)[axes])))
        wide = int(np.clip(np.ceil(_WIDTH / max(side, 1e-9)), 1, max(samples.shape)))
        core = samples > 0
        for axis in axes:
            core &= _shifted(samples, wide, axis) & _shifted(samples, -wide, axis)
        return samples + (samples > core).view(np.uint8)


@dataclass(frozen=True)
class _Board:
    """Where the layer lies: index of its first sample in the image, how many samples one of its own covers, shape."""

    start: tuple[int, ...]
    steps: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def around(cls, sketch: Sketch, seen: Window) -> _Board:
        """One for a sketch and what is seen; for the sketch alone if that would be too large."""
        wide = sketch.window | seen
        start = [
            a - -(-(a - b) // step) * step for a, b, step in zip(sketch.start, wide.start, sketch.steps, strict=True)
        ]
        stops = zip(start, wide.stop, sketch.steps, strict=True)
        board = cls(tuple(start), sketch.steps, tuple(-(-(b - a) // step) for a, b, step in stops))
        if Window.of(board.shape).size > _SEEN[len(board.shape)]:
            return cls(sketch.start, sketch.steps, sketch.samples.shape)
        return board

    def takes(self, sketch: Sketch) -> bool:
        """Whether a sketch can be drawn here as it is."""
        whole = all(coarse % fine == 0 for coarse, fine in zip(sketch.steps, self.steps, strict=True))
        aligned = all((a - b) % step == 0 for a, b, step in zip(sketch.start, self.start, self.steps, strict=True))
        return whole and aligned and self.part(sketch) in Window.of(self.shape)

    def part(self, sketch: Sketch) -> Window:
        """The samples that a sketch covers."""
        box = sketch.window.shift([-a for a in self.start])
        starts, shapes = ([n // step for n, step in zip(ns, self.steps, strict=True)] for ns in (box.start, box.shape))
        return Window(tuple(starts), tuple(shapes))

    def place(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """What places the layer if these attributes place the image."""
        return moved(attributes, self.start, self.steps)


def _shifted(samples: NDArray[np.uint8], by: int, axis: int) -> NDArray[np.bool_]:
    """Where there is something `by` samples before; nothing outside."""
    source, target = [slice(None)] * samples.ndim, [slice(None)] * samples.ndim
    source[axis], target[axis] = (slice(-by), slice(by, None)) if by > 0 else (slice(-by, None), slice(by))
    moved_on = np.zeros(samples.shape, bool)
    moved_on[tuple(target)] = samples[tuple(source)] > 0
    return moved_on
