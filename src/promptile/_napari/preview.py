"""The object that a model has just found, shown at once whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from promptile._napari.transforms import add_quietly, moved
from promptile.engine.grow import Candidates
from promptile.grid import Window
from promptile.masks import BLOCK, ObjectMask

_SHOWN = {2: 2**22, 3: 2**24}  # samples at most, by number of dimensions
_COLOUR = (1.0, 0.16, 0.83)  # neither water, fields, skin nor bone
_FILL, _LINE = 0.3, 1.0
"""Opacity of what is inside, and of the outline, which is seen on any ground."""
_WIDTH = 2.0  # of the outline, in pixels of the screen


@dataclass(frozen=True, eq=False)
class Sketch:
    """The box around an object, coarse enough to be drawn at once.

    Parameters
    ----------
    start : tuple of int
        Index of its first sample in the image.
    steps : tuple of int
        How many samples of the image one of its own covers, per axis.
    samples : ndarray of uint8
        1 where any of those belongs to the object.
    """

    start: tuple[int, ...]
    steps: tuple[int, ...]
    samples: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: ObjectMask) -> Sketch:
        """The finest sketch of a mask; may be called in any thread."""
        ndim, step = len(mask.shape), 1
        while (box := _coarse(mask.window, step)).size > _SHOWN[ndim] and step < BLOCK[ndim]:
            step *= 2
        samples = np.zeros(box.shape if mask.count else (1,) * ndim, np.uint8)
        for block, inside in mask.blocks():
            for axis in range(ndim if step > 1 else 0):
                inside = np.logical_or.reduceat(inside, range(0, inside.shape[axis], step), axis)
            place = Window(tuple(a // step for a in block.start), inside.shape)
            shared = place & box
            samples[shared.within(box).slices] = inside[shared.within(place).slices]
        return cls(tuple(a * step for a in box.start), (step,) * ndim, samples)

    @classmethod
    def at_first(cls, candidates: Candidates, factors: Sequence[int]) -> Sketch:
        """What the first window shows of an object, at a level with these factors."""
        mask = candidates.masks.logits[candidates.taken] > 0
        start = [a * f for a, f in zip(candidates.window.start, factors, strict=True)]
        return cls(tuple(start), tuple(factors), mask.view(np.uint8))


def show_mask(
    viewer: ViewerModel, sketch: Sketch, attributes: Mapping[str, Any], layer: Labels | None = None
) -> Labels:
    """Show an object in a layer of its own; its label is 1, and in slices 2 along its edge.

    Parameters
    ----------
    viewer : ViewerModel
    sketch : Sketch
    attributes : mapping
        What places the image: `Placement.attributes`, or `placing` of a layer.
    layer : Labels, optional
        The layer of the last object, which shows this one from now on; another is made if it was deleted.
    """
    place = moved(attributes, sketch.start, sketch.steps)
    if layer is None or layer not in viewer.layers:
        # no map from labels to colours: napari would compile one for most of a second
        colours = np.array([(0, 0, 0, 0), (*_COLOUR, _FILL), (*_COLOUR, _LINE)])
        looks = CyclicLabelColormap(colors=colours, background_value=0)
        layer = Labels(_outlined(sketch, viewer, place), name="preview", colormap=looks, opacity=1, **place)
        layer.editable = False
        add_quietly(viewer, layer)
        return layer
    layer.data = _outlined(sketch, viewer, place)
    for name in ("affine", "scale", "translate"):
        if name in place and not np.array_equal(getattr(layer, name), place[name]):
            setattr(layer, name, place[name])  # each of them moves the sliders and all else: 20 ms
    layer.editable = False
    return layer


def _outlined(sketch: Sketch, viewer: ViewerModel, place: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The samples of a sketch, 2 along the edge that is seen in a slice."""
    samples = sketch.samples
    axes = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    if len(axes) > 2 or -min(axes) > samples.ndim:
        return samples
    side = viewer.scene.camera.zoom * float(np.max(np.abs(np.asarray(place["scale"])[axes])))
    wide = int(np.clip(np.ceil(_WIDTH / max(side, 1e-9)), 1, max(samples.shape)))
    core = samples > 0
    for axis in axes:
        core &= _shifted(samples, wide, axis) & _shifted(samples, -wide, axis)
    return samples + (samples > core).view(np.uint8)


def _shifted(samples: NDArray[np.uint8], by: int, axis: int) -> NDArray[np.bool_]:
    """Where there is something `by` samples before; nothing outside."""
    source, target = [slice(None)] * samples.ndim, [slice(None)] * samples.ndim
    source[axis], target[axis] = (slice(-by), slice(by, None)) if by > 0 else (slice(-by, None), slice(by))
    moved_on = np.zeros(samples.shape, bool)
    moved_on[tuple(target)] = samples[tuple(source)] > 0
    return moved_on


def _coarse(window: Window, step: int) -> Window:
    """The coarse samples that touch a window."""
    return Window.between([a // step for a in window.start], [-(-b // step) for b in window.stop])
