"""What napari's canvas needs to go on drawing while layers come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def draw_safely(viewer: Any) -> Callable[[], None]:
    """Let a viewer's canvas draw after layers were removed; call what is returned to end that.

    Mesa's software OpenGL, as on remote desktops, holds on to the buffers of a removed layer of shapes, and the whole
    process ends with the next layer that is added. It lets go of them with its context.
    """
    canvas = viewer.window._qt_viewer.canvas.native

    def let_go(_event: object) -> None:
        canvas.makeCurrent()
        canvas.doneCurrent()

    viewer.layers.events.removed.connect(let_go)
    return lambda: viewer.layers.events.removed.disconnect(let_go)
