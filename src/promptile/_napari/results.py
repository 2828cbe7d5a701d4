"""A run's labels in a viewer, while they grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from colorsys import hsv_to_rgb
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from napari.utils.colormaps.standardize_color import transform_color
from psygnal import Signal

from promptile._napari.coarse import Later, Level, Pyramid, in_background
from promptile._napari.layers import PAINTABLE, coarse_labels, until_whole
from promptile._napari.lazy import LazyArray
from promptile._napari.paintable import Paintable, Part
from promptile._napari.placement import KEY, Placement
from promptile._napari.redraw import redraw
from promptile._napari.transforms import add_quietly, moved, placing, put
from promptile.errors import UsageError
from promptile.grid import Window
from promptile.run import Run
from promptile.session import Stroke
from promptile.sources.levels import ladder

EDITED = 4096**2
"""Samples of the largest part of a large raster that can be painted at a time."""

_MOST_COLOURS = 2**16 - 1  # that napari's cycle may have; objects with larger ids have no colour of their own


class _Labels(Paintable):
    """Labels of a volume that is never read as a whole to be shown.

    napari cuts a layer in 3D before anybody else hears that the view is in 3D. What it gets then is never drawn: its
    data are exchanged before the event is over.
    """

    def __init__(self, shape: tuple[int, ...], read: Any, too_large: Callable[[], bool]) -> None:
        super().__init__(shape, read)
        self._too_large = too_large

    def __getitem__(self, key: Any) -> Any:
        if self._too_large() and isinstance(key, tuple) and all(_is_all(part) for part in key):
            return np.zeros((1,) * self.ndim, np.uint32)
        return super().__getitem__(key)


class ResultLayer:
    """The one Labels layer that shows a run's labels.

    It is painted on with napari's own tools. Rasters too large for that are shown at several levels, and `edit`
    makes a second layer, over a part of them, that can be painted on. napari reads the whole of what it shows in 3D:
    large volumes are shown there at a coarse level, which cannot be painted on.

    The user may do with the layer what he likes. If he deletes it, `gone` says so; what he painted can still be taken.

    Parameters
    ----------
    viewer : ViewerModel
    run : Run
    placement : Placement
    later : callable, optional
        Reads coarse levels elsewhere.
    """

    gone = Signal()
    """The layer was deleted."""

    painted = Signal()
    """Something was painted; `taken` gives it."""

    def __init__(self, viewer: ViewerModel, run: Run, placement: Placement, later: Later = in_background) -> None:
        shape = run.grid.shape
        self._viewer = viewer
        self.labels = _Labels(shape, run.read_labels, self._in_3d_too_large)
        # a raster of 8192 × 8192 at one level would take napari 0.2 s to draw, 2 s with outlines, and 1.3 GB
        self.paintable = len(shape) == 3 or self.labels.size <= PAINTABLE
        levels = until_whole(shape, ladder(shape, run.grid.spacing))[1:]
        if len(shape) == 3:
            levels = levels[-1:]
        elif self.paintable:
            levels = []
        self._pyramid = Pyramid(shape, levels, partial(coarse_labels, run), self._on_filled, later)
        self._coarse = False
        self._edited: Labels | None = None
        fine = LazyArray(shape, np.uint32, self._read_shown)
        arrays = self.labels if self.paintable else [fine, *(level.array for level in self._pyramid.levels)]
        name = f"{run.name.removesuffix('.run.zarr')} labels"
        known = {"path": str(run.path), "labels": self.labels}  # whole, for who saves the layer while it shows less
        metadata = {KEY: known | placement.to_json()}
        looks = {"colormap": vivid(), "opacity": 0.6, "visible": False}
        self.layer = Labels(arrays, name=name, metadata=metadata, **looks, **placement.attributes)
        self._cyclic = self.layer.colormap
        self._colours: dict[int, str] = {}
        self._on_ndisplay()
        self.layer.visible = True
        add_quietly(viewer, self.layer)
        self._connect()
        self._go_on()

    @property
    def place(self) -> dict[str, Any]:
        """The attributes that place a layer of the run's grid where the user has this one now."""
        place = placing(self.layer)
        return moved(place, (0, 0, 0), self._steps(coarse=False)) if self._coarse else place

    def put(self, place: Mapping[str, Any]) -> None:
        """Show the run's grid where these attributes say."""
        start = (0,) * self.labels.ndim
        put(self.layer, moved(place, start, self._steps(coarse=True)) if self._coarse else place)
        if self._edited is not None:
            put(self._edited, moved(place, self._edited.data.window.start, 1))

    def taken(self) -> list[Stroke]:
        """What was painted since the last time; call `refresh` for its windows once that is written."""
        return self.labels.taken()

    def refresh(self, window: Window) -> None:
        """Show what the run's labels are in a window now; what is painted and not yet taken stays on top."""
        self.labels.changed(window)
        self._pyramid.changed(window)
        if self._edited is not None:
            redraw(self._edited, window.within(self._edited.data.window))
        if self.layer not in self._viewer.layers:
            return
        if self.paintable and not self._coarse:
            redraw(self.layer, window)
        elif not self.paintable and not (self._in_view() & window).empty:
            self.layer.refresh(extent=False, thumbnail=False)
        self._go_on()

    def describe(self, objects: pd.DataFrame, colours: Mapping[int, str]) -> None:
        """Show a run's `objects` where the mouse is, and those that have a colour in it, the others in napari's."""
        features = objects.rename(columns={"id": "index"}).drop(columns="bbox", errors="ignore")
        last = int(features["index"].max()) if len(features) else 0
        used = self.layer.colormap
        if dict(colours) != self._colours:
            used = _named(self._cyclic, colours, last) if colours else self._cyclic
        elif colours and last >= len(used.colors) and last < _MOST_COLOURS:
            used = _named(self._cyclic, colours, last)
        self._colours = dict(colours)
        new = used is not self.layer.colormap
        for layer in self._layers():
            layer.features = features
            if new:
                layer.colormap = used.model_copy()

    def edit(self, window: Window) -> Labels:
        """A layer over a part of a large raster that can be painted on, in place of the one before.

        Raises
        ------
        UsageError
            If the part is too large.
        """
        inside = window.clip(self.labels.shape)
        if inside.empty or inside.size > EDITED:
            raise UsageError(f"{inside.shape} samples are not to be painted at a time: zoom in, 4096 × 4096 will do")
        self.stop_editing()
        like = self.layer
        self._edited = Labels(
            Part(self.labels, inside),
            name=f"{like.name} to paint",
            features=like.features,
            colormap=like.colormap.model_copy(),
            opacity=like.opacity,
            **moved(self.place, inside.start, 1),
        )
        self._edited.selected_label = like.selected_label
        self._hide(inside)
        add_quietly(self._viewer, self._edited)
        return self._edited

    def stop_editing(self) -> None:
        """Remove the layer that `edit` made; what was painted on it can still be taken."""
        if self._edited in self._viewer.layers:
            self._viewer.layers.remove(self._edited)
        self._edited = None

    def close(self) -> None:
        """Remove the layers."""
        self.stop_editing()
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def _connect(self) -> None:
        self.labels.painted.connect(self.painted.emit)
        self.layer.events.set_data.connect(self._go_on)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._edited:
            self._edited = None
            self._hide(None)
        if event.value is self.layer:
            self._pyramid.close()
            self.layer.events.set_data.disconnect(self._go_on)
            self._viewer.layers.events.removed.disconnect(self._on_removed)
            self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
            self.gone.emit()  # the layer that `edit` made stays: napari may be deleting it, too, just now

    def _in_3d_too_large(self) -> bool:
        return self._viewer.dims.ndisplay == 3 and self.labels.ndim == 3 and bool(self._pyramid.levels)

    def _on_ndisplay(self, event: Any = None) -> None:
        self._show_coarse(self._in_3d_too_large())

    def _show_coarse(self, coarse: bool) -> None:
        """Exchange the labels of a volume for their coarse level, or back, where the layer is now."""
        if coarse == self._coarse:
            return
        self._coarse = coarse
        place = moved(placing(self.layer), (0, 0, 0), self._steps(coarse=coarse))
        visible, self.layer.visible = self.layer.visible, False  # nothing is read before all is in place
        if not coarse:  # never smaller than it is: the sliders would be moved
            self.layer.data = self.labels
        self.layer.scale, self.layer.translate = place["scale"], place["translate"]
        if coarse:
            self.layer.data = self._pyramid.levels[0].array
        self.layer.editable = not coarse
        self.layer.visible = visible

    def _steps(self, *, coarse: bool) -> list[float]:
        """How many samples that the layer has now one will cover when it is coarse, or is not."""
        return [f if coarse else 1 / f for f in self._pyramid.levels[0].factors]

    def _go_on(self, event: Any = None) -> None:
        if self._coarse or not self.paintable:
            self._pyramid.go_on()

    def _on_filled(self, level: Level, window: Window) -> None:
        if self._coarse:
            redraw(self.layer, window)
        elif not self.paintable:
            self.layer.refresh(extent=False)

    def _hide(self, window: Window | None) -> None:
        """Show no labels below the layer that is painted on: what is erased there would still be seen."""
        self._pyramid.hide(window)
        self.layer.refresh(extent=False)

    def _read_shown(self, window: Window) -> Any:
        labels = self.labels.read(window)
        if self._edited is not None:
            labels[(self._edited.data.window & window).within(window).slices] = 0
        return labels

    def _in_view(self) -> Window:
        """The window of level 0 that a layer with levels shows."""
        factors = np.rint(self.layer.downsample_factors[self.layer.data_level]).astype(int)
        low, high = self.layer.corner_pixels
        return Window.between(low * factors, (high + 1) * factors)

    def _layers(self) -> list[Labels]:
        return [self.layer] if self._edited is None else [self.layer, self._edited]


def vivid(count: int = 48) -> CyclicLabelColormap:
    """Colours that are told from each other, from images, and from a preview; the next id's is far from the last."""
    hues = np.arange(count) * 0.618034 % 1 * 0.78  # all round, but for a preview's
    values = np.array([1.0, 0.85, 0.95])[np.arange(count) % 3]
    colours = [(*hsv_to_rgb(hue, 0.9, value), 1.0) for hue, value in zip(hues, values, strict=True)]
    return CyclicLabelColormap(colors=np.array([(0, 0, 0, 0), *colours]), background_value=0)


def _named(cyclic: CyclicLabelColormap, colours: Mapping[int, str], last: int) -> CyclicLabelColormap:
    """Colours as napari gives them, but for the objects that have one of their own; `last` is the largest id.

    A cycle with a place for every id: napari's map from each id to a colour takes a second for 4096 × 4096 labels.
    """
    period = len(cyclic.colors) - 1
    repeats = min(max(last // period + 2, 20), _MOST_COLOURS // period)
    colours_of = np.vstack([cyclic.colors[:1], np.tile(cyclic.colors[1:], (repeats, 1))])
    for i, colour in colours.items():
        if i < len(colours_of):
            colours_of[i] = transform_color(colour)[0]
    return CyclicLabelColormap(colors=colours_of, background_value=0)


def _is_all(part: Any) -> bool:
    return isinstance(part, slice) and part == slice(None)
