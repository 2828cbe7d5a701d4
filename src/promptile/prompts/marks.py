"""What a prompt file says, mark by mark, and how marks become one prompt per object."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import count
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from promptile.errors import PromptError
from promptile.grid import Window
from promptile.prompts.prompts import Prompts
from promptile.prompts.regions import Outline, Raster
from promptile.prompts.types import LARGEST_ID, Prompt

Kind = Literal["points", "boxes", "prompts"]

_MOST_SHARED = 20_000_000
"""Points that negative points without an object may become, counted once per object: a third of a gigabyte."""


@dataclass(frozen=True, eq=False)
class Mark:
    """One point, box or area that was said in a file or drawn in a viewer.

    Parameters
    ----------
    where : str
        Its place in the file for messages: ``feature 3``, ``line 4``.
    shape : ndarray of float, shape (ndim,) or (2, ndim), or Outline, or Raster
        A point, a box (low and high corner on sample edges) or an area, in index coordinates of level 0.
    positive : bool
        False for a point that is not on the object.
    owner : int or str, optional
        Number or name of the object it belongs to.
    category : str
    """

    where: str
    shape: NDArray[np.float64] | Outline | Raster
    positive: bool = True
    owner: int | str | None = None
    category: str = ""

    @property
    def form(self) -> str:
        if isinstance(self.shape, Outline | Raster):
            return "polygon"
        return "point" if self.shape.ndim == 1 else "box"


@dataclass
class _Draft:
    """An object while its marks are gathered."""

    where: str
    name: str
    points: list[Mark] = field(default_factory=list)
    box: NDArray[np.float64] | None = None
    areas: list[Outline | Raster] = field(default_factory=list)
    category: str = ""


def parse_label(value: Any) -> bool:
    """True for 1, False for 0; nothing means 1."""
    text = _text(value).lower()
    if text in ("", "1", "1.0", "true"):
        return True
    if text in ("0", "0.0", "false"):
        return False
    raise ValueError(
        f"label is {_text(value)!r}, needed is 1 (on the object) or 0 (not on it); a class name belongs into `category`"
    )


def parse_owner(value: Any) -> int | str | None:
    """The number or name in an `object` field; None where it is empty."""
    text = _text(value)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    if not (number.is_integer() and 1 <= number <= LARGEST_ID):
        raise ValueError(f"object is {text}, needed is a whole number from 1 to {LARGEST_ID}, or a name")
    return int(number)


def parse_fields(
    label: Any, owner: Any, category: Any, shapes: Sequence[NDArray[np.float64] | Outline | Raster]
) -> tuple[bool, int | str | None, str]:
    """What the fields of a feature with these shapes say: ``(positive, owner, category)``.

    Only points can be negative, so that a word in the `label` of a box or polygon can only be its category.
    """
    point = any(isinstance(shape, np.ndarray) and shape.ndim == 1 for shape in shapes)
    named = not point and _text(label)[:1].isalpha() and _text(label).lower() not in ("true", "false")
    if named:
        return True, parse_owner(owner), _text(category) or _text(label)
    return parse_label(label), parse_owner(owner), _text(category)


def _text(value: Any) -> str:
    """What a field says; NULL and NaN say nothing."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    return str(value).strip()


def of_kind(marks: Iterable[Mark], kind: Kind) -> list[Mark]:
    """The marks as the kind that was asked for: with ``boxes`` a polygon becomes its bounds."""
    kept = []
    for mark in marks:
        if not mark.positive and mark.form != "point":
            raise PromptError(f"{mark.where} is a {mark.form} with label 0: only points can be negative")
        if kind == "points" and mark.form != "point":
            raise PromptError(
                f"{mark.where} is a {mark.form} and only points were asked for: use --boxes for its bounds, "
                "or --prompts for what it is"
            )
        if kind == "boxes" and mark.form == "point":
            raise PromptError(
                f"{mark.where} is a point and only boxes were asked for: use --points, or --prompts for both"
            )
        if isinstance(mark.shape, Outline | Raster) and kind == "boxes":
            mark = replace(mark, shape=mark.shape.box)
        kept.append(mark)
    return kept


def assemble(marks: Sequence[Mark], *, denying: bool = False) -> Prompts:
    """One prompt per object, in the order in which objects first appear.

    A mark without an owner is an object of its own, and a negative point without one counts for all. Whole numbers
    stay the object's id; the others get the free numbers from 1 in the order of the file. With `denying`, there may be
    nothing but such negative points.
    """
    everyone = [mark for mark in marks if not mark.positive and mark.owner is None]
    drafts = _gather(marks)
    if not drafts and denying:
        return Prompts((), denied=_stack(everyone)[0])
    if not drafts:
        raise PromptError("there are only negative points: add a positive point (label 1), a box or a polygon")
    if len(everyone) * len(drafts) > _MOST_SHARED:
        raise PromptError(
            f"{len(everyone)} negative points without `object` would count for each of {len(drafts)} objects: "
            "say in `object` which object each of them belongs to"
        )
    shared = _stack(everyone)
    return Prompts(tuple(_finish(i, draft, shared) for i, draft in drafts.items()))


def _gather(marks: Sequence[Mark]) -> dict[int, _Draft]:
    taken = {mark.owner for mark in marks if isinstance(mark.owner, int)}
    free = (i for i in count(1) if i not in taken)
    ids: dict[int | str, int] = {}
    drafts: dict[int, _Draft] = {}
    for mark in marks:
        if mark.owner is None:
            if not mark.positive:
                continue
            i = next(free)
        elif isinstance(mark.owner, int):
            i = mark.owner
        else:
            i = ids[mark.owner] if mark.owner in ids else ids.setdefault(mark.owner, next(free))
        name = mark.owner if isinstance(mark.owner, str) else ""
        _add(drafts.setdefault(i, _Draft(mark.where, name)), mark)
    return drafts


def _add(draft: _Draft, mark: Mark) -> None:
    if mark.category and draft.category and mark.category != draft.category:
        raise PromptError(
            f"{mark.where} calls its object {mark.category!r}, which {draft.where} called {draft.category!r}: "
            "give an object one category"
        )
    draft.category = draft.category or mark.category
    if isinstance(mark.shape, Outline | Raster):
        draft.areas.append(mark.shape)
    elif mark.form == "point":
        draft.points.append(mark)
    elif draft.box is not None:
        raise PromptError(
            f"{mark.where} is a second box of object {mark.owner}: give each box an object of its own, "
            "or draw one polygon"
        )
    else:
        draft.box = mark.shape


def _finish(i: int, draft: _Draft, shared: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> Prompt:
    if draft.box is None and not draft.areas and not any(mark.positive for mark in draft.points):
        raise PromptError(
            f"{draft.where} and all else of object {i} are negative points: add a positive point (label 1), "
            "a box or a polygon"
        )
    points, labels = _stack(draft.points)
    if len(shared[0]) and len(points):
        points, labels = np.concatenate([points, shared[0]]), np.concatenate([labels, shared[1]])
    elif len(shared[0]):
        points, labels = shared
    if not len(points):
        ndim = next((area.shape[-1] for area in [draft.box, *(a.box for a in draft.areas)] if area is not None), 2)
        points = points.reshape(0, ndim)
    region = _join(draft.areas) if draft.areas else None
    return Prompt(i, points, labels, draft.box, region, draft.category, draft.name)


def _join(areas: Sequence[Outline | Raster]) -> Outline | Raster:
    """All areas of an object as one: all are outlines, or all are rasters."""
    rasters = [area for area in areas if isinstance(area, Raster)]
    if not rasters:
        return Outline(tuple(part for area in areas if isinstance(area, Outline) for part in area.parts))
    window = reduce(Window.__or__, (raster.window for raster in rasters))
    mask = np.zeros(window.shape, bool)
    for raster in rasters:
        mask[raster.window.within(window).slices] |= raster.mask
    return Raster(window, mask)


def _stack(points: Sequence[Mark]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if not points:
        return np.zeros((0, 2)), np.zeros(0, bool)
    return np.array([mark.shape for mark in points]), np.array([mark.positive for mark in points])
