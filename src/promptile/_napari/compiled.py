"""What napari compiles when the first labels and shapes are shown, compiled where nobody waits for it.

It takes seconds on a new machine, and still a part of a second in every new process, each time in the window's thread.
These names of napari's are private: they are used here and nowhere else, and where they are not what they were,
napari compiles later by itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from napari.layers import Shapes
from numba import types
from numba.core.errors import NumbaError

_Order = Literal["A", "C", "F"]

_LAYOUTS: dict[int, tuple[tuple[int, _Order, _Order], ...]] = {
    2: ((1, "C", "C"), (2, "C", "C"), (2, "A", "C")),
    3: ((2, "F", "F"), (2, "A", "F"), (3, "C", "C")),
}
"""Axes and orders of the labels in memory and of what is drawn, for images; volumes may need those of 3, too."""


def compile_ahead(ndim: int) -> None:
    """Compile what napari needs to show labels and marks of so many axes; in any thread."""
    Shapes()  # has napari compile all it needs for shapes
    try:
        drawing = import_module("napari.utils.colormaps._accelerated_cmap")
        if drawing.zero_preserving_modulo is drawing._zero_preserving_modulo_loop:
            for layout in [layout for n, layouts in _LAYOUTS.items() if n <= ndim for layout in layouts]:
                _compile(drawing._zero_preserving_modulo_inner_loop, *layout)
    except (ImportError, AttributeError, NumbaError):  # another napari
        return


def _compile(colours: Any, ndim: int, order: _Order, drawn: _Order) -> None:
    """Compile without a call: it runs in parallel, which not every machine allows to two threads at a time."""
    labels, texture = types.Array(types.uint32, ndim, order), types.Array(types.uint8, ndim, drawn)
    colours.compile((labels, types.int64, types.int64, texture))
