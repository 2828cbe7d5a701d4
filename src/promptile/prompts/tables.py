"""Prompts from tables: CSV in the image's world coordinates."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.errors import PromptError
from promptile.grid import Grid
from promptile.prompts.marks import Mark, parse_fields

TABLES = (".csv", ".tsv")

_AXES = ("x", "y", "z")
_DELIMITERS = ",;\t"

Row = Mapping[str, str]


def read_table(file: Path, grid: Grid) -> list[Mark]:
    """Marks from a table with the columns ``x,y[,z]`` or ``x0,y0[,z0],x1,y1[,z1]``, and ``label,object,category``."""
    columns, lines, rows = _rows(file)
    axes = _AXES[: grid.ndim]
    corners = [f"{a}0" for a in axes], [f"{a}1" for a in axes]
    points = set(axes) <= set(columns)
    boxes = {*corners[0], *corners[1]} <= set(columns)
    if not (points or boxes):
        raise PromptError(
            f"its columns are {', '.join(columns)}; needed are {','.join(axes)} for points "
            f"or {','.join(corners[0] + corners[1])} for boxes (and, as you like, label, object, category)"
        )
    marks = []
    for line, row in zip(lines, rows, strict=True):
        where = f"line {line}"
        try:
            shapes = _shapes(row, axes if points else (), corners if boxes else ([], []))
            known = parse_fields(row.get("label"), row.get("object"), row.get("category"), shapes)
        except ValueError as error:
            raise PromptError(f"{where}: {error}") from None
        marks += [Mark(where, shape, *known) for shape in shapes]
    return _to_index(marks, grid)


def _rows(file: Path) -> tuple[list[str], list[int], list[Row]]:
    """Lower-case column names, and the line numbers and rows by these names, without blank lines."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(f"it is no UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8") from None
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        return _parse(reader)
    except csv.Error as error:
        raise PromptError(f"line {reader.line_num} is no row of a table ({error}): look at its quotes") from error


def _parse(reader: Any) -> tuple[list[str], list[int], list[Row]]:
    names: list[str] = []
    while not any(names) and (cells := next(reader, None)) is not None:
        names = [name.strip().lower() for name in cells]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise PromptError(f"the columns {', '.join(twice)} occur twice")
    lines: list[int] = []
    rows: list[Row] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names):
            raise PromptError(
                f"line {reader.line_num} has {len(cells)} fields, its first line names {len(names)}: "
                "write decimals with a point, and quote texts with commas"
            )
        lines.append(reader.line_num)
        rows.append(dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=True)))
    return names, lines, rows


def _shapes(row: Row, axes: Sequence[str], corners: tuple[Sequence[str], Sequence[str]]) -> list[NDArray[np.float64]]:
    """The point and the box of a row, in world coordinates."""
    point = _numbers(row, axes)
    box = _numbers(row, [*corners[0], *corners[1]])
    if point is None and box is None:
        needed = ",".join(axes) if axes else ",".join([*corners[0], *corners[1]])
        raise ValueError(f"there is no position, needed are numbers for {needed}")
    found = [] if point is None else [point]
    return found if box is None else [*found, box.reshape(2, -1)]


def _numbers(row: Row, names: Sequence[str]) -> NDArray[np.float64] | None:
    """The numbers in these columns; None where all of them are empty."""
    cells = [row[name].strip() for name in names]
    if not any(cells):
        return None
    numbers = []
    for name, cell in zip(names, cells, strict=True):
        try:
            number = float(cell)
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            raise ValueError(f"{name} is {cell!r}, needed is a number like 12.5")
        numbers.append(number)
    return np.array(numbers)


def _to_index(marks: Sequence[Mark], grid: Grid) -> list[Mark]:
    """Marks in world coordinates as marks in index coordinates; a box becomes the bounds of its corners."""
    points = [mark for mark in marks if mark.form == "point"]
    boxes = [mark for mark in marks if mark.form == "box"]
    moved: dict[int, NDArray[np.float64]] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        if points:
            moved |= zip(map(id, points), grid.to_index(np.array([mark.shape for mark in points])), strict=True)
        if boxes:
            moved |= zip(map(id, boxes), world_boxes_to_index(np.array([m.shape for m in boxes]), grid), strict=True)
    for mark in marks:
        if not np.isfinite(moved[id(mark)]).all():
            raise PromptError(f"{mark.where}: its coordinates are too large")
    for mark in boxes:
        low, high = moved[id(mark)]
        if not (low < high).all():
            raise PromptError(f"{mark.where} is a box without extent{_flat_axis(mark.shape, grid)}")
    return [Mark(m.where, moved[id(m)], m.positive, m.owner, m.category) for m in marks]


def _flat_axis(box: Any, grid: Grid) -> str:
    """Along which axis a box in world coordinates has no extent, and what to write there instead."""
    axis = next(iter(np.flatnonzero(box[0] == box[1])), None)
    if axis is None:
        return ": its corners are too close to each other"
    name, at, half = _AXES[axis], box[0, axis], np.abs(grid.matrix[axis, :-1]).sum() / 2
    return (
        f" along {name}: {name}0 and {name}1 are both {at:.9g}, needed are two numbers, like {at - half:.9g} and "
        f"{at + half:.9g}, one sample wide; or give a point, as {','.join(_AXES[: grid.ndim])}"
    )


def world_boxes_to_index(boxes: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """World boxes ``(n, 2, ndim)`` as the bounds of all their corners in index coordinates ``(n, 2, ndim)``."""
    choice = np.indices((2,) * grid.ndim).reshape(grid.ndim, -1).T  # (2 ** ndim, ndim) of 0 and 1
    corners = np.where(choice[None].astype(bool), boxes[:, 1:2], boxes[:, 0:1])
    index = grid.to_index(corners)
    return np.stack([index.min(axis=1), index.max(axis=1)], axis=1)
