"""What happens in the window: each scene plays in a process of its own and gives the rows of a table."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gui_models import Sleeping, Timed, mosaic
from gui_window import Script, Window
from numpy.typing import NDArray
from qtpy.QtCore import Qt

import promptile as pt
from promptile import models
from promptile.samples import sample
from promptile.session import Session

Row = dict[str, Any]
ACCEPT = Qt.Key.Key_G


def opened(window: Window, path: Path) -> Script:
    """Open an image, and our widget if it is not there yet."""
    window.viewer.open(str(path), plugin="promptile")
    if window.widget is None:
        window.dock()
    yield lambda: window.scene is not None
    yield from rested(window)


def rested(window: Window) -> Script:
    """Let the view rest, and the model look at it."""
    yield 1.0
    yield lambda: window.idle
    yield 0.2


def zoomed(window: Window, zoom: float = 1.0) -> Script:
    """So close that points are asked at the finest level."""
    window.viewer.scene.camera.zoom = zoom
    yield from rested(window)


def places(window: Window, count: int, seed: int = 0, around: float = 0.8) -> NDArray[np.float64]:
    """``(count, 2)``: indices in the middle of the view, where there is something for the model to see."""
    box = window.seen()
    random = np.random.default_rng(seed)
    source = window.scene.shown.source
    found: list[NDArray[np.float64]] = []
    while len(found) < count:
        spot = np.add(box.start, np.multiply(box.shape, 0.5 + around * random.uniform(-0.5, 0.5, 2)))
        if source.valid(pt.Window(tuple(np.rint(spot).astype(int).tolist()), (1, 1))).all():
            found.append(spot)
    return np.array(found)


def answered(window: Window) -> Callable[[], bool]:
    """Whether all marks are answered, and the whole of the answer is shown."""

    def whole() -> bool:
        preview = window.desk.asking.preview
        return window.idle and preview is not None and preview.whole

    return whole


def panned(window: Window, seconds: float) -> Script:
    """The user moves the view about."""
    camera = window.viewer.scene.camera
    for i in range(round(seconds / 0.15)):
        camera.center = (0, camera.center[-2], camera.center[-1] + (5 if i % 2 else -5))
        yield 0.15


def baseline(window: Window, rows: list[Row], folder: Path, seconds: float) -> Script:
    """The viewer alone, with an image and without us."""
    window.viewer.open(str(mosaic(folder / "mosaic.tif", 4)), plugin="promptile")
    yield 3.0
    window.clock.begin()
    yield seconds
    rows.append({"scene": "napari alone, at rest", **window.clock.row()})
    window.clock.begin()
    yield from panned(window, seconds)
    rows.append({"scene": "napari alone, the view is moved", **window.clock.row()})


def running(window: Window, rows: list[Row], folder: Path, seconds: float, *, sleeping: bool) -> Script:
    """A run of everything over an image of 6144 x 6144, from its start to its end."""
    name = "a model that sleeps" if sleeping else "basin"
    yield from opened(window, mosaic(folder / "mosaic.tif", 4))
    if sleeping:
        window.desk.asking.look(model=Sleeping())
    yield from rested(window)
    window.click(places(window, 1)[0])  # the first click of all has the viewer make a layer for previews
    yield answered(window)
    window.press(ACCEPT)
    yield from rested(window)
    window.widget.run.start.click()
    yield 0.5
    window.clock.begin()
    yield seconds
    rows.append({"scene": f"{name} runs, the user waits", **window.clock.row()})
    window.clock.begin()
    yield from panned(window, seconds / 2)
    rows.append({"scene": f"{name} runs, the view is moved", **window.clock.row()})
    window.clock.begin()
    for place in places(window, round(seconds / 2)):
        if not window.desk.runs.going_on:
            break
        window.click(place)
        yield 2.0
        window.press(ACCEPT)
    rows.append({"scene": f"{name} runs, an object every 2 s", **window.clock.row()})
    window.clock.begin()
    begun = time.perf_counter()
    if not sleeping:
        window.desk.runs.cancel()
    yield lambda: not window.desk.runs.going_on
    took = time.perf_counter() - begun
    yield 2.0
    end = "runs to its end, and is shown" if sleeping else f"is stopped, after {took:.1f} s"
    rows.append({"scene": f"{name} {end}", **window.clock.row()})


def storm(window: Window, rows: list[Row], folder: Path, seconds: float, *, run: bool) -> Script:
    """300 clicks, 5 per second, every tenth one is followed by an accept; then the same without a window."""
    path = mosaic(folder / "mosaic.tif", 4) if run else Path(str(sample("scene.tif")))
    yield from opened(window, path)
    if run:
        window.desk.asking.look(model=Sleeping())
        yield from rested(window)
        window.widget.run.start.click()
        yield 1.0
    groups = clicked_groups(window, count=30 if seconds > 10 else 5)
    level, marks = window.desk.asking.asked_level, []
    window.clock.begin()
    for group in groups:
        for n, place in enumerate(group):
            window.click(place)
            if n == len(group) - 1:
                marks.append(np.array(window.scene.points.data))
                if len(marks) < len(groups):
                    window.press(ACCEPT)
            yield 0.2
    gaps = window.clock.row()
    if run:
        window.desk.runs.cancel()
    yield answered(window)
    yield 0.5
    yield answered(window)
    headless = Session(window.scene.shown.source, window.desk._session.setting.job.model)
    wrong = 0
    for number, asked in enumerate(marks, 1):
        headless.look(level=level)
        found = headless.predict(one_object(asked))
        if number < len(marks):
            kept = window.desk._session.run.mask(number)
            wrong += not _same(kept, found.mask)
            headless.accept()
        else:
            shown = window.scene.preview.layer.data
            seen = [int((shown > 0).sum()), window.desk.asking.preview.count]
            wrong += seen != [found.mask.count] * 2
    labels = np.array_equal(window.desk._session.run.labels[...], headless.run.labels[...])
    lost = sum(len(group) for group in groups) - sum(map(len, marks))
    rows.append(
        {
            "scene": f"{sum(map(len, groups))} clicks, 5 per second{', beside a run' if run else ''}",
            "objects": len(window.desk.snapshot.states),
            "clicks lost": lost,
            "objects wrong": int(wrong),
            "labels equal": labels,
            **gaps,
        }
    )


def clicked_groups(window: Window, count: int) -> list[NDArray[np.float64]]:
    """Ten marks for each of many objects, near each other."""
    random = np.random.default_rng(1)
    return [centre + random.uniform(-12, 12, (10, 2)) for centre in places(window, count, seed=1, around=0.7)]


def one_object(points: NDArray[np.float64]) -> pt.Prompts:
    """Prompts that ask for one object by all points together."""
    return pt.Prompts.of(points=points, objects=[1] * len(points))


def _same(some: Any, other: Any) -> bool:
    return some.window == other.window and all(
        np.array_equal(a[1], b[1]) for a, b in zip(some.blocks(), other.blocks(), strict=True)
    )


def latency(window: Window, rows: list[Row], folder: Path, seconds: float, name: str = "basin") -> Script:
    """From a click to its preview on the screen, beside the same question to a session without a window."""
    yield from opened(window, Path(str(sample("scene.tif"))))
    if name != "basin":
        window.desk.asking.look(model=name)
        yield lambda: window.idle and window.desk.snapshot.card.name == name
    film = _Film(window)
    for zoom, text in ((1.0, "close"), (0.45, "from afar")):
        yield from zoomed(window, zoom)
        model = Timed(models.load(name, 2))
        alone = Session(window.scene.shown.source, model)
        alone.look(level=window.desk.asking.asked_level)
        seen = []
        for n, place in enumerate(places(window, 64 if seconds > 10 else 12, seed=2)):
            film.begin()
            window.click(place)
            yield answered(window)
            yield lambda: film.whole is not None
            seen.append([film.mark, film.first, film.whole, *_alone(alone, model, window.scene.prompts())])
            yield 0.1
            window.desk.asking.discard()
            yield lambda: window.idle
            yield 0.1 if n else 1.0
        mark, first, whole, without, decoder = 1000 * np.array(seen).T
        what = f"click to {{}}, {name} {text}"
        rows.append({"scene": what.format("its own mark"), **_latencies(mark, without, decoder)})
        rows.append({"scene": what.format("first look"), **_latencies(first, without, decoder)})
        rows.append({"scene": what.format("whole object"), **_latencies(whole, without, decoder)})


class _Film:
    """When the canvas was drawn after a click: with the mark, with a first preview, with all of the object.

    Parameters
    ----------
    window : Window
    """

    def __init__(self, window: Window) -> None:
        self._asking = window.desk.asking
        window.viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._on_drawn, position="last")
        window.desk.asking.previewed.connect(self._on_previewed)
        self.begin()

    def begin(self) -> None:
        """A click is about to be made."""
        self._begun = time.perf_counter()
        self._previewed = False
        self.mark: float | None = None
        self.first: float | None = None
        self.whole: float | None = None

    def _on_previewed(self) -> None:
        self._previewed = self._asking.preview is not None

    def _on_drawn(self, event: Any = None) -> None:
        passed = time.perf_counter() - self._begun
        if self.mark is None:
            self.mark = passed
        if self._previewed and self.first is None:
            self.first = passed
        if self._previewed and self.whole is None and self._asking.preview is not None and self._asking.preview.whole:
            self.whole = passed


def _alone(session: Session, model: Timed, prompts: pt.Prompts) -> tuple[float, float]:
    """Seconds that a session takes for a question, and its model of them, with all that it looks at in memory."""
    session.predict(prompts)
    model.seconds = 0.0
    begun = time.perf_counter()
    session.predict(prompts)
    return time.perf_counter() - begun, model.seconds


def _latencies(clicks: NDArray[np.float64], models: NDArray[np.float64], decoder: NDArray[np.float64]) -> Row:
    """Of milliseconds ``(n,)``: from click to preview, of a session without a window, and of its model alone."""
    return {
        "clicks": len(clicks),
        "ms, median": round(float(np.median(clicks))),
        "95 %": round(float(np.percentile(clicks, 95))),
        "model ms, median": round(float(np.median(models))),
        "model 95 %": round(float(np.percentile(models, 95))),
        "more ms, median": round(float(np.median(clicks - models))),
        "ratio of medians": round(float(np.median(clicks) / np.median(models)), 2),
        "decoder ms, median": round(float(np.median(decoder))),
        "within 1.3 x model + 30 ms": f"{np.mean(clicks <= 1.3 * models + 30):.0%}",
        "within 1.3 x decoder + 30 ms": f"{np.mean(clicks <= 1.3 * decoder + 30):.0%}",
    }


def cold(window: Window, rows: list[Row], folder: Path, seconds: float) -> Script:
    """The first preview ever: all caches of compiled code are empty."""
    window.viewer.open(str(sample("scene.tif")), plugin="promptile")
    yield 2.0
    begun = time.perf_counter()
    window.clock.begin()
    window.dock()
    yield lambda: window.scene is not None
    opened_after = time.perf_counter() - begun
    window.click(places(window, 1)[0])
    yield lambda: window.desk.asking.preview is not None
    took = time.perf_counter() - begun
    row = {"scene": "first preview", "opened s": round(opened_after, 1), "preview s": round(took, 1)}
    rows.append(row | window.clock.row())
