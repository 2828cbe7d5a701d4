"""Fixtures that all tests share."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run of CI, new ones on every other run: what they find becomes a test of its own.
# How long one takes says nothing where other things run at the same time.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# Exports take a while: the tests that are about them say so. Workers and commands that are started inherit it.
os.environ.setdefault("PROMPTILE_RUNTIME", "torch")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images with truth beside the checkout; tests that need it skip without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(autouse=True)
def told():
    """A command that was to be quiet does not silence the tests after it."""
    yield
    logging.getLogger("promptile").setLevel(logging.NOTSET)


@pytest.fixture
def open_desk(make_napari_viewer, qtbot, npe2pm, monkeypatch, tmp_path):
    """Makes a window with the widget on an image: ``open_desk(path_or_array_or_sample, model)``."""
    import desks  # needs Qt

    made = []

    def make(image=None, model="oracle", seen=True, show=True):
        desks.install(monkeypatch, tmp_path / "sessions", model)
        viewer = make_napari_viewer(show=show)
        viewer.window._qt_window.resize(1300, 850)
        if image is not None:
            desks.add(viewer, image)
        made.append(desks.Window(viewer, qtbot))
        if image is not None and seen:
            made[-1].open()
        return made[-1]

    with npe2pm.tmp_plugin(package="promptile"):
        yield make
        for window in made:
            window.end()
        made.clear()


WINDOW_LIBRARIES = (
    "libEGL.so.1", "libGL.so.1", "libxkbcommon-x11.so.0", "libxcb-cursor.so.0", "libxcb-icccm.so.4",
    "libxcb-keysyms.so.1", "libxcb-shape.so.0", "libdbus-1.so.3",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip window tests visibly where no window can be opened: Qt would end the whole process."""
    windows = [item for item in items if item.get_closest_marker("window")]
    reason = _no_window() if windows else ""
    for item in windows:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _no_window() -> str:
    """Why no window can be opened here; empty if one can."""
    if importlib.util.find_spec("napari") is None or importlib.util.find_spec("PyQt6") is None:
        return "no window: napari or PyQt6 is not installed"
    if not sys.platform.startswith("linux"):
        return ""
    missing = [library for library in WINDOW_LIBRARIES if not _loads(library)]
    if missing:
        return f"no window: {', '.join(missing)} not found"
    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not shown or os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return "no window: no screen, install Xvfb and do not set QT_QPA_PLATFORM"
    return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
