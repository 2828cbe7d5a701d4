"""Prompts given as arrays: what may be passed to `Prompts.of`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promptile.errors import PromptError


def numbers(what: str, values: ArrayLike) -> NDArray[np.float64]:
    """An array of numbers, or an error that says `what` is none."""
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{what} are no array of numbers ({error}): give the same number of them for each") from error


def given_owners(objects: ArrayLike) -> NDArray[np.int64]:
    """``(n,)``: object numbers as the user gave them."""
    values = numbers("Objects", objects)
    if not (values == np.floor(values)).all():
        raise PromptError(f"Objects are {values.tolist()[:4]}: give whole numbers from 1")
    return values.astype(np.int64)


def known_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """``(n,)``: True for 1, False for 0; nothing else is a label."""
    values = numbers("Labels", labels)
    if not np.isin(values, (0, 1)).all():
        raise PromptError(f"Labels are {values.tolist()[:4]}: give 1 for on the object, 0 for not on it")
    return values.astype(bool)


def own_objects(labels: NDArray[np.bool_], first: int) -> NDArray[np.int64]:
    """Each positive point owns a new id after the first `first` ones; negative ones belong to all (0)."""
    return np.where(labels, np.cumsum(labels) + first, 0).astype(np.int64)


def check_arrays(
    points: NDArray[np.float64], labels: NDArray[np.bool_], owners: NDArray[np.int64], boxes: NDArray[np.float64]
) -> None:
    """Refuse arrays that do not fit each other."""
    if points.size and (points.ndim != 2 or points.shape[1] not in (2, 3)):
        raise PromptError(f"Points have shape {points.shape}: give (n, 2) as (y, x), or (n, 3) as (z, y, x)")
    if boxes.size and (boxes.ndim != 3 or boxes.shape[1] != 2 or boxes.shape[2] not in (2, 3)):
        raise PromptError(f"Boxes have shape {boxes.shape}: give (n, 2, ndim), a low and a high corner per box")
    if not len(points) == len(labels) == len(owners):
        raise PromptError(
            f"{len(points)} points have {len(labels)} labels and {len(owners)} objects: give one of each per point"
        )
    if points.size and boxes.size and points.shape[1] != boxes.shape[2]:
        raise PromptError(f"Points have {points.shape[1]} dimensions and boxes {boxes.shape[2]}: give both the same")
    wrong = owners[(owners < 0) | ((owners == 0) & labels)]
    if wrong.size:
        raise PromptError(
            f"A point belongs to object {wrong[0]}: give positive points a number from 1 (0 is for negative points "
            "that count for all)"
        )
    if len(points) and not (owners > 0).any() and not len(boxes):
        raise PromptError("There are only negative points: add a positive point (label 1) or a box")
