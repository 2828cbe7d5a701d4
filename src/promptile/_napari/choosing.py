"""Letting the user choose one of several."""

from __future__ import annotations

from collections.abc import Sequence

import napari


def has_window() -> bool:
    """Whether there is a viewer with a window in which somebody could be asked."""
    viewer = napari.current_viewer()
    return viewer is not None and getattr(viewer, "window", None) is not None


def choose(what: str, listed: Sequence[str]) -> int | None:
    """The position of what the user chose; None if nothing."""
    from qtpy.QtWidgets import QInputDialog  # only where there is a window

    viewer = napari.current_viewer()
    parent = None if viewer is None else viewer.window._qt_window
    text, chosen = QInputDialog.getItem(parent, "Promptile", f"{what}. Open which?", list(listed), 0, False)
    return list(listed).index(text) if chosen else None


def agree(finding: str, question: str) -> bool:
    """Whether the user says yes."""
    from qtpy.QtWidgets import QMessageBox  # only where there is a window

    viewer = napari.current_viewer()
    parent = None if viewer is None else viewer.window._qt_window
    return bool(QMessageBox.question(parent, "Promptile", f"{finding}\n\n{question}") == QMessageBox.StandardButton.Yes)
