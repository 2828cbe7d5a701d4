"""The table of objects: select one and the view flies there; rename, recolour, delete, correct."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QPoint, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QColorDialog, QHeaderView, QTableView

from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import Panel, able, button, row
from promptile.run import State

_COLUMNS = ("id", "category", "score", "size", "from")
_UNITS = {
    **{"area_m2": "m²", "volume_mm3": "mm³", "volume_ml": "ml", "surface_mm2": "mm²"},
    **{"diameter_mm": "⌀ mm", "mean": "mean", "std": "±"},
}
"""What a column of measures is called where there is little room."""
_HELP = {
    "volume_ml": "Volume in millilitres",
    "surface_mm2": "Surface in square millimetres",
    "diameter_mm": "Longest diameter in millimetres",
    "mean": "Mean of the image's own values, in CT of HU",
    "std": "Standard deviation of the image's own values",
}
_ROLES = Qt.ItemDataRole


class ObjectsTable(QAbstractTableModel):
    """The objects of a session, one per row; the category can be edited."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._states: list[State] = []
        self._measures: tuple[str, ...] = ()
        self.selected: Callable[[], list[int]] = list
        """Objects that are renamed together."""

    def learn(self) -> None:
        """Take what the desk knows now."""
        snapshot = self._desk.snapshot
        states = [] if snapshot is None else list(snapshot.states.values())
        if self._learn_measures(states):
            return
        if [s.record.id for s in states] == [s.record.id for s in self._states]:
            self._states = states
            if states:
                self.dataChanged.emit(self.index(0, 0), self.index(len(states) - 1, len(self.columns) - 1))
            return
        self.beginResetModel()
        self._states = states
        self.endResetModel()

    def _learn_measures(self, states: list[State]) -> bool:
        """Take what was measured; whether the table has other columns now."""
        known = (self._desk.objects.measured(state.record) for state in states)
        measures = tuple(name for name in next(filter(None, known), ()) if name not in ("area_m2", "volume_mm3"))
        if measures == self._measures:
            return False
        self.beginResetModel()
        self._states, self._measures = states, measures
        self.endResetModel()
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        """What is known of the objects."""
        return (*_COLUMNS, *self._measures)

    def state(self, at: int) -> State:
        """The object in a row."""
        return self._states[at]

    def row_of(self, object_id: int) -> int:
        """The row of an object; -1 if it is not there."""
        return next((n for n, state in enumerate(self._states) if state.record.id == object_id), -1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self._states)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _ROLES.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == _ROLES.ToolTipRole:
            return _HELP.get(column)
        if role != _ROLES.DisplayRole:
            return None
        return self._measure if column == "size" else _UNITS.get(column, column)

    @property
    def _measure(self) -> str:
        measures = next((s.record.measures for s in self._states if s.record.measures), None) or {}
        name = next(iter(measures), "size")
        return _UNITS.get(name, name)

    def data(self, index: QModelIndex, role: int = _ROLES.DisplayRole) -> Any:
        state, column = self._states[index.row()], self.columns[index.column()]
        if role == _ROLES.DecorationRole and column == "id" and self._desk.scene is not None:
            colour = self._desk.scene.results.layer.get_color(state.record.id)
            return None if colour is None else QColor.fromRgbF(*map(float, colour))
        if role == _ROLES.ToolTipRole and column == "category":
            return state.record.category or "Double-click to name a category"
        if role == _ROLES.TextAlignmentRole and column not in ("category", "from"):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role not in (_ROLES.DisplayRole, _ROLES.EditRole, _ROLES.UserRole):
            return None
        value = self._value(state, column)
        if role == _ROLES.DisplayRole and isinstance(value, float):
            return f"{value:.2f}" if column == "score" else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
        return value

    def _value(self, state: State, column: str) -> Any:
        record = state.record
        if column == "size":
            return float(next(iter((record.measures or {}).values()), record.count))
        if column == "from":
            return record.prompt + (" + hand" if state.edited else "")
        return getattr(record, column) if column in _COLUMNS else self._desk.objects.measured(record).get(column)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if self.columns[index.column()] == "category" else flags

    def setData(self, index: QModelIndex, value: Any, role: int = _ROLES.EditRole) -> bool:
        record, category = self._states[index.row()].record, str(value).strip()
        if category != record.category:
            together = self.selected()
            self._desk.objects.rename(together if record.id in together else [record.id], category)
        return True


class ObjectsPanel(Panel):
    """All objects, and what can be done to them."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("Objects")
        self._desk = desk
        self._quiet = False  # whether it is not the user who selects
        self.table = ObjectsTable(desk)
        self.correct = button("Correct", "Bring the object's marks back, to add, move or remove some", self._revise)
        self.brush = button("Brush", "Paint on the object, or erase parts of it, with napari's brush", self._brush)
        self.colour = button("Colour", "Choose a colour for the selected objects", self._recolour)
        self.measure = button(
            "Measure", "Volume, surface, diameter, mean and deviation of the selected objects, or of all", self._measure
        )
        self.remove = button("Delete", "Remove the selected objects", self._delete)
        self._sorted = QSortFilterProxyModel()
        self._sorted.setSourceModel(self.table)
        self._sorted.setSortRole(_ROLES.UserRole)
        self.table.selected = lambda: self.selected
        self.view = QTableView()
        self.view.setModel(self._sorted)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setMinimumHeight(130)
        self.view.setToolTip("Select an object to fly there; double-click its category to change it")
        self.view.verticalHeader().hide()
        self.view.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.view.selectionModel().currentRowChanged.connect(self._fly)
        self.view.selectionModel().selectionChanged.connect(self._selection_changed)
        self.inside.addWidget(self.view)
        self.inside.addWidget(
            row(self.correct, self.brush, self.colour, self.measure, self.remove),
        )
        self._selection_changed()
        desk.changed.connect(self._on_changed)
        desk.opened.connect(self._on_changed)

    @property
    def selected(self) -> list[int]:
        """Ids of the selected objects."""
        rows = self.view.selectionModel().selectedRows()
        return [self.table.state(self._sorted.mapToSource(index).row()).record.id for index in rows]

    def select(self, object_id: int) -> None:
        """Select an object."""
        at = self.table.row_of(object_id)
        if at >= 0:
            self._quiet = True
            index, how = self._sorted.index(self._row_of(at), 0), QItemSelectionModel.SelectionFlag
            self.view.selectionModel().setCurrentIndex(index, how.ClearAndSelect | how.Rows)
            self._quiet = False

    def centre_of(self, object_id: int) -> QPoint:
        """Where its row is on the screen."""
        return self.view.visualRect(self._sorted.index(self._row_of(self.table.row_of(object_id)), 0)).center()

    def _row_of(self, at: int) -> int:
        return int(self._sorted.mapFromSource(self.table.index(at, 0)).row())

    def _on_changed(self) -> None:
        selected = self.selected
        self._quiet = True
        self.table.learn()
        self._quiet = False
        for object_id in selected[-1:] if self.selected != selected else ():
            self.select(object_id)  # new rows lose the selection
        snapshot = self._desk.snapshot
        count = 0 if snapshot is None else len(snapshot.states)
        self.title.setText(f"Objects ({count})" if count else "Objects")

    def _fly(self, current: QModelIndex, before: QModelIndex) -> None:
        if current.isValid() and not self._quiet:
            self._desk.objects.show(self.table.state(self._sorted.mapToSource(current).row()).record.id)

    def _revise(self) -> None:
        self._desk.objects.show(self.selected[0])
        self._desk.asking.revise(self.selected[0])

    def _brush(self) -> None:
        self._desk.objects.brush(self.selected[0])

    def _recolour(self) -> None:
        colour = QColorDialog.getColor(parent=self)
        if colour.isValid():
            self._desk.objects.recolour(self.selected, colour.name())

    def _measure(self) -> None:
        states = {} if self._desk.snapshot is None else self._desk.snapshot.states
        self._desk.objects.measure(self.selected or states)

    def _delete(self) -> None:
        self._desk.objects.delete(self.selected)

    def _selection_changed(self, *_: object) -> None:
        count = len(self.selected)
        for widget, enough in ((self.correct, count == 1), (self.brush, count == 1), (self.colour, count > 0)):
            able(widget, enough, "Select an object in the table first" if not count else "Select one object only")
        able(self.remove, count > 0, "Select an object in the table first")
