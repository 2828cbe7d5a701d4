"""Prompts from 3D Slicer markups: ``.mrk.json`` files with point lists and ROI boxes.

Slicer has no notion of a negative point, so that the text of a control point says it, in its description or its label:
``-`` in front, or nothing but ``negative`` or ``0``. What else the description says is the name (or number) of the
object and its category::

    description   meaning
    (empty)       a positive point, an object of its own
    liver         a positive point of the object liver
    -liver        a point that is not on the liver
    -             a point that is on no object (also: negative, 0)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.errors import PromptError
from promptile.grid import LPS, Grid
from promptile.prompts.marks import Mark, parse_owner

SUFFIX = ".mrk.json"

_TO_LPS = {"LPS": (1, 1, 1), "1": (1, 1, 1), "RAS": (-1, -1, 1), "0": (-1, -1, 1)}
"""Signs by coordinate system; files of old versions number them as Slicer's enumeration does: 0 RAS, 1 LPS."""

_MILLIMETRES = {"mm": 1.0, "um": 1e-3}
_NEGATIVE = ("negative", "0")
_UNSET = ("undefined", "missing")


def is_markups(file: Path) -> bool:
    """Whether a file is one of Slicer's, by its name or, where it only ends on ``.json``, by what it begins with."""
    if file.name.lower().endswith(SUFFIX):
        return True
    if file.suffix.lower() != ".json":
        return False
    with file.open("rb") as opened:
        return b"markups-schema" in opened.read(1000)


def read_markups(file: Path, grid: Grid) -> list[Mark]:
    """Marks from the point lists and ROI boxes of a markups file, which lie in a volume in millimetres."""
    if grid.space != LPS:
        raise PromptError("3D Slicer markups are places in a patient, but the image is no medical volume")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PromptError(f"it is no JSON ({error}): save it in 3D Slicer as Markups JSON") from error
    markups = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(markups, list) or not all(isinstance(markup, dict) for markup in markups):
        raise PromptError("it has no list of `markups`: save it in 3D Slicer as Markups JSON")
    return [mark for number, markup in enumerate(markups, 1) for mark in _read(markup, f"markup {number}", grid)]


def _read(markup: Mapping[str, Any], where: str, grid: Grid) -> list[Mark]:
    kind = markup.get("type")
    try:
        scale = _scale(markup)
        if kind == "Fiducial":
            return _points(markup, where, scale, grid)
        if kind == "ROI":
            return [_box(markup, where, scale, grid)]
    except (ValueError, TypeError, LookupError) as error:
        raise PromptError(f"{where}: {error}") from error
    raise PromptError(f"{where} is a {kind}: prompts are point lists (Fiducial) and ROI boxes")


def _scale(markup: Mapping[str, Any]) -> NDArray[np.float64]:
    """What takes the markup's coordinates to LPS millimetres, per axis."""
    system = str(markup.get("coordinateSystem", "LPS")).upper()
    if system not in _TO_LPS:
        raise ValueError(f"coordinateSystem is {system!r}, needed is LPS or RAS")
    units = markup.get("coordinateUnits", "mm")
    unit = units if isinstance(units, str) else units[0]  # later versions give (code, scheme, meaning)
    if unit not in _MILLIMETRES:
        raise ValueError(f"coordinateUnits is {unit!r}, needed is mm or um")
    return np.array(_TO_LPS[system]) * _MILLIMETRES[unit]


def _points(markup: Mapping[str, Any], where: str, scale: NDArray[np.float64], grid: Grid) -> list[Mark]:
    marks = []
    for number, point in enumerate(markup.get("controlPoints") or [], 1):
        if not isinstance(point, dict):
            raise TypeError(f"point {number} is {point!r}, needed is a control point with a position")
        if point.get("positionStatus") in _UNSET:
            continue  # Slicer keeps the place in the list of a point that is not placed
        here = f"{where}, point {number}"
        position = _vector(point.get("position"), f"point {number} has the position")
        positive, text = _meaning(point)
        marks.append(Mark(here, grid.to_index(position * scale), positive, parse_owner(text), _category(text)))
    return marks


def _box(markup: Mapping[str, Any], where: str, scale: NDArray[np.float64], grid: Grid) -> Mark:
    """The bounds, in index coordinates, of a box that may be turned."""
    centre = _vector(markup.get("center"), "the ROI has the center") * scale
    size = _vector(markup.get("size"), "the ROI has the size") * np.abs(scale)
    if not (size > 0).all():
        raise ValueError(f"the ROI has the size {size.tolist()}, needed are three lengths above 0")
    turn = np.asarray(markup.get("orientation", np.eye(3).ravel()), float).reshape(3, 3)
    axes = turn * np.sign(scale)[:, None]  # its columns are the ROI's axes
    corners = centre + (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5) * size @ axes.T
    index = grid.to_index(corners)
    first = next(iter(markup.get("controlPoints") or []), None)
    positive, text = _meaning(first if isinstance(first, dict) else {})
    box = np.stack([index.min(axis=0), index.max(axis=0)])
    return Mark(where, box, positive, parse_owner(text), _category(text))


def _meaning(point: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a control point is positive, and the name of its object."""
    description, label = (str(point.get(key) or "").strip() for key in ("description", "label"))
    negative = any(text.startswith("-") or text.lower() in _NEGATIVE for text in (description, label))
    name = "" if description.lower() in _NEGATIVE else description.removeprefix("-").strip()
    return not negative, name


def _category(text: str) -> str:
    return "" if isinstance(parse_owner(text), int) else text


def _vector(value: Sequence[float] | None, what: str) -> NDArray[np.float64]:
    try:
        vector = np.asarray(value, float)
    except (TypeError, ValueError):
        vector = np.zeros(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise ValueError(f"{what} {value!r}, needed are three numbers in millimetres")
    return vector
