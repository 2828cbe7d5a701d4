"""Hearing of what the user does to prompt layers: once when it is done, not while it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
from napari.layers import Layer, Points, Shapes

_quiet: WeakSet[Layer] = WeakSet()
_BEGINNING = ("adding", "changing", "removing")


@contextmanager
def quiet(points: Points, shapes: Shapes) -> Iterator[None]:
    """Changes to both layers in here count as one, and only if there is a difference in the end."""
    _quiet.update((points, shapes))
    try:
        yield
    finally:
        _quiet.difference_update((points, shapes))
        points.events.features()
        shapes.events.features()


def on_marks_changed(points: Points, shapes: Shapes, callback: Callable[[], None]) -> Callable[[], None]:
    """Call back once after each finished change of the marks of two layers.

    Added, pasted, moved (when the mouse is released), removed, another label, object or category: but not a look,
    a selection, or a drag that goes on. napari is still inside its own event then: change the layers later.

    Returns
    -------
    callable
        Ends it.
    """
    layers = (points, shapes)
    changing: set[Layer] = set()
    last = [_marks(points, shapes)]

    def check(event: Any = None) -> None:
        if changing or any(layer in _quiet for layer in layers):
            return
        now = _marks(points, shapes)
        if not _same(now, last[0]):
            last[0] = now
            callback()

    def on_data(event: Any) -> None:
        begins = str(getattr(event, "action", "")).lower().rpartition(".")[2] in _BEGINNING
        (changing.add if begins else changing.discard)(event.source)
        check()

    emitters = [(e, f) for layer in layers for e, f in ((layer.events.data, on_data), (layer.events.features, check))]
    emitters.append((points.events.set_data, check))  # all that napari says when points are pasted
    for emitter, listener in emitters:
        emitter.connect(listener)

    def disconnect() -> None:
        for emitter, listener in emitters:
            emitter.disconnect(listener)

    return disconnect


_Marks = tuple[list[Any], list[Any]]


def _marks(points: Points, shapes: Shapes) -> _Marks:
    """All that prompts are made of: places, then what is said of them."""
    places = [np.array(points.data), np.array(points.shown), *(np.array(vertices) for vertices in shapes.data)]
    return places, [list(shapes.shape_type), points.features.copy(), shapes.features.copy()]


def _same(some: _Marks, others: _Marks) -> bool:
    (places, (kinds, *features)), (other_places, (other_kinds, *other_features)) = some, others
    return (
        kinds == other_kinds
        and all(map(np.array_equal, places, other_places))
        and all(mine.equals(theirs) for mine, theirs in zip(features, other_features, strict=True))
    )
