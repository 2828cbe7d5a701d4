"""What is in memory after many clicks and many images."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import psutil
from gui_models import small
from gui_scenes import ACCEPT, Row, answered, opened, places, zoomed
from gui_window import Script, Window
from napari.layers import Layer

from promptile._napari.results import ResultLayer
from promptile._napari.widget.scene import Scene
from promptile.samples import sample
from promptile.session import Session


def many_clicks(window: Window, rows: list[Row], folder: Path, seconds: float) -> Script:
    """A thousand clicks, every tenth one is followed by an accept; what is in memory then."""
    yield from opened(window, Path(str(sample("scene.tif"))))
    yield from zoomed(window)
    count = 1000 if seconds > 10 else 60
    sizes = []
    for n, place in enumerate(places(window, count, seed=3), 1):
        window.click(place)
        yield answered(window)
        window.press(ACCEPT) if n % 10 == 0 else window.desk.asking.discard()
        yield lambda: window.idle
        yield 0.02
        if n % (count // 20) == 0:
            gc.collect()
            sizes.append(psutil.Process().memory_info().rss / 1e6)
    later = np.array(sizes[len(sizes) // 4 :])
    slope = np.polyfit(np.linspace(0, 0.75 * count, len(later)), later, 1)[0]
    rows.append(
        {
            "scene": f"{count} clicks, {count // 10} objects",
            "MB after 1/20": round(sizes[0]),
            "after 1/4": round(later[0]),
            "at the end": round(sizes[-1]),
            "MB per 1000 clicks": round(1000 * float(slope), 1),
        }
    )


def many_images(window: Window, rows: list[Row], folder: Path, seconds: float) -> Script:
    """Fifty images are opened, worked on and removed, one after the other; what is left of them."""
    count = 50 if seconds > 10 else 8
    window.dock()
    sizes = []
    for n in range(count):
        yield from opened(window, small(folder, n))
        shape = np.array(window.scene.shown.grid.shape)
        window.desk.asking.discard()
        window.scene.points.add(shape / 2)
        yield answered(window)
        window.press(ACCEPT)
        yield lambda: window.idle
        window.viewer.layers.clear()
        yield lambda: window.scene is None and window.idle
        yield 0.2
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss / 1e6)
    yield 1.0
    gc.collect()
    kinds = (Session, Scene, ResultLayer, Layer)
    left = {f"left: {kind.__name__}": sum(isinstance(each, kind) for each in gc.get_objects()) for kind in kinds}
    later = np.array(sizes[len(sizes) // 4 :])
    slope = np.polyfit(np.arange(len(later)), later, 1)[0]
    rows.append(
        {
            "scene": f"{count} images",
            "MB after the first": round(sizes[0]),
            "after 1/4": round(later[0]),
            "at the end": round(sizes[-1]),
            "MB per image": round(float(slope), 2),
            **left,
            "threads": threading.active_count(),
        }
    )
