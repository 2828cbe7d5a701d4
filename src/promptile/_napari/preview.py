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
_COLOUR = "#ff2ad4"  # neither water, fields, skin nor bone


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
    """Show an object in a layer of its own; its label is 1.

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
        colours = CyclicLabelColormap(colors=["transparent", _COLOUR], background_value=0)
        layer = Labels(sketch.samples, name="preview", colormap=colours, opacity=0.5, **place)
        layer.editable = False
        add_quietly(viewer, layer)
        return layer
    layer.data = sketch.samples
    for name in ("affine", "scale", "translate"):
        if name in place and not np.array_equal(getattr(layer, name), place[name]):
            setattr(layer, name, place[name])  # each of them moves the sliders and all else: 20 ms
    layer.editable = False
    return layer


def _coarse(window: Window, step: int) -> Window:
    """The coarse samples that touch a window."""
    return Window.between([a // step for a in window.start], [-(-b // step) for b in window.stop])
