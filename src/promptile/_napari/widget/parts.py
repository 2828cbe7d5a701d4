"""Small pieces that the panels are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

_DOWN = """
QToolButton { padding: 4px 6px; border: 1px solid transparent; border-radius: 4px; }
QToolButton:checked { background: #2b6e4f; border-color: #2ecc71; }
QToolButton:disabled { color: gray; }
"""
"""How a button looks that is down: themes hardly show it."""


FIRST = (
    "QPushButton:enabled { background: #2b6e4f; font-weight: bold; } QPushButton:enabled:hover { background: #35875f; }"
)
"""How a button looks that is pressed most."""


class Panel(QWidget):
    """A section of the widget under a title that folds it."""

    def __init__(self, title: str, *, folded: bool = False) -> None:
        super().__init__()
        self.title = QToolButton()
        self.title.setCheckable(True)
        self.title.setChecked(not folded)
        self.title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.title.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.title.setStyleSheet("QToolButton { font-weight: bold; border: none; text-align: left; padding: 4px; }")
        self.title.setText(title)
        self._content = QWidget()
        self.inside = column(self._content)
        self.inside.setContentsMargins(4, 0, 4, 6)
        self.inside.setSpacing(4)
        layout = column(self)
        layout.setSpacing(0)
        layout.addWidget(self.title)
        layout.addWidget(self._content)
        self.title.toggled.connect(self.unfold)
        self.unfold(not folded)

    def unfold(self, unfolded: bool = True) -> None:
        """Show what is in it, or the title alone."""
        self.title.setChecked(unfolded)
        self.title.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._content.setVisible(unfolded)


def column(widget: QWidget) -> QVBoxLayout:
    """What lays a widget's parts one below the other."""
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


def form(rows: Iterable[tuple[str, QWidget]]) -> QWidget:
    """Labels and fields, one pair per row; a label shows its field's help."""
    widget = QWidget()
    layout = QFormLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for text, field in rows:
        label = QLabel(text)
        label.setToolTip(field.toolTip())
        layout.addRow(label, field)
    return widget


def row(*widgets: QWidget) -> QWidget:
    """Widgets beside each other."""
    widget = QWidget()
    layout = QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for each in widgets:
        layout.addWidget(each)
    return widget


def button(text: str, help_text: str, pressed: Callable[[], None], key: str = "") -> QPushButton:
    """A button that says in its help which key does the same."""
    widget = QPushButton(text)
    widget.setToolTip(f"{help_text} ({key})" if key else help_text)
    widget.clicked.connect(lambda _checked=False: pressed())
    return widget


def able(widget: QWidget, enabled: bool, why_not: str) -> None:
    """Enable a widget, or say in its help why it is not."""
    if widget.property("help") is None:
        widget.setProperty("help", widget.toolTip())
    widget.setEnabled(enabled)
    widget.setToolTip(widget.property("help") if enabled else why_not)


def toggle(text: str, help_text: str, pressed: Callable[[], None]) -> QToolButton:
    """A button that stays down."""
    widget = QToolButton()
    widget.setText(text)
    widget.setToolTip(help_text)
    widget.setCheckable(True)
    widget.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    widget.setStyleSheet(_DOWN)
    widget.clicked.connect(lambda _checked=False: pressed())
    return widget


def choice(help_text: str, chosen: Callable[[], None]) -> QComboBox:
    """A list to choose from; `chosen` is called when the user does, not when the program does."""
    widget = QComboBox()
    widget.setToolTip(help_text)
    widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    widget.setMinimumContentsLength(8)
    widget.activated.connect(lambda _index: chosen())
    return widget


def offer(widget: QComboBox, options: Iterable[tuple[str, Any]], current: Any) -> None:
    """Fill a list with texts and what they stand for."""
    widget.blockSignals(True)
    widget.clear()
    for text, value in options:
        widget.addItem(text, value)
        if value is current or (isinstance(value, str | int) and value == current):
            widget.setCurrentIndex(widget.count() - 1)
    widget.blockSignals(False)


def icon(picture: NDArray[np.uint8]) -> tuple[QIcon, QSize]:
    """``(y, x, 3)`` as an icon, and its size."""
    high, wide, _ = picture.shape
    image = QImage(picture.tobytes(), wide, high, 3 * wide, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image.copy())), QSize(wide, high)
