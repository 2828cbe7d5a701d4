"""From what was found to prompts for a promptable model, together with what the user said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window
from promptile.prompts.area import Area
from promptile.prompts.regions import Raster
from promptile.prompts.types import Prompt, Prompts


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects that were found, in the order of their places.

    Parameters
    ----------
    boxes : ndarray of float, shape (m, 2, ndim)
        On sample edges of level 0.
    scores : ndarray of float, shape (m,)
        The detector's own.
    phrases : sequence of str
        What each of them is.
    masks : sequence of Raster or None
        Where the detector drew them.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    phrases: Sequence[str]
    masks: Sequence[Raster | None]

    def of(self, rows: Sequence[int]) -> Objects:
        """Some of them."""
        return Objects(
            self.boxes[list(rows)],
            self.scores[list(rows)],
            [self.phrases[n] for n in rows],
            [self.masks[n] for n in rows],
        )


@dataclass(frozen=True, eq=False)
class Wish:
    """A prompt, and how sure the detector was; None where the user said that there is something."""

    prompt: Prompt
    detection: float | None = None

    def to_json(self) -> dict[str, Any]:
        return self.prompt.to_json() | {"detection": self.detection}


def area_of(said: Prompts | None) -> Area | None:
    """Where the user's boxes and polygons are: objects are wanted only there; None if there are none."""
    ndim = 2
    parts = []
    for prompt in said or ():
        ndim = prompt.points.shape[-1]
        if prompt.box is not None or prompt.region is not None:
            parts.append(replace(prompt, points=np.zeros((0, ndim)), labels=np.zeros(0, bool)))
    return Area(Prompts(tuple(parts))) if parts else None


def within(found: Objects, areas: Iterable[Area]) -> Objects:
    """Those whose box has its centre in all of the areas."""
    everywhere = list(areas)
    ones = (1,) * found.boxes.shape[-1]

    def inside(box: NDArray[np.float64]) -> bool:
        centre = Window(tuple(np.rint(box.mean(axis=0)).astype(int).tolist()), ones)
        return all(area.within(centre, ones).any() for area in everywhere)

    return found if not everywhere else found.of([n for n, box in enumerate(found.boxes) if inside(box)])


def wishes(found: Objects, said: Prompts | None) -> list[Wish]:
    """Prompts, numbered from 1 by place, and after them the objects that only the user sees.

    A positive point belongs to the smallest found box around it, and its object's other points go with it; where
    there is none, it is an object of its own. A found box with negative points and no positive one is left out.
    """
    corrections, others = _corrections(found, said)
    made: list[Wish] = []
    for n, box in enumerate(found.boxes):
        points, labels = corrections.get(n, (np.zeros((0, box.shape[-1])), np.zeros(0, bool)))
        if len(labels) and not labels.any():
            continue
        prompt = Prompt(len(made) + 1, points, labels, box, found.masks[n], found.phrases[n])
        made.append(Wish(prompt, float(found.scores[n])))
    made += [Wish(replace(prompt, id=len(made) + n)) for n, prompt in enumerate(others, 1)]
    return made


Points = tuple[NDArray[np.float64], NDArray[np.bool_]]


def _corrections(found: Objects, said: Prompts | None) -> tuple[dict[int, Points], list[Prompt]]:
    """The points that go to each found object, and the user's objects that are none of them."""
    gathered: dict[int, list[Points]] = {}
    others = []
    for prompt in said or ():
        on = {owner for point in prompt.points[prompt.labels] for owner in _around(found, point)}
        for owner in on:
            gathered.setdefault(owner, []).append((prompt.points, prompt.labels))
        if not on and prompt.labels.any():
            others.append(replace(prompt, box=None, region=None))
        for point in prompt.points[~prompt.labels]:
            for owner in _around(found, point):
                gathered.setdefault(owner, []).append((point[None], np.zeros(1, bool)))
    return {owner: _once(parts) for owner, parts in gathered.items()}, others


def _around(found: Objects, point: NDArray[np.float64]) -> Iterator[int]:
    """The smallest box around a point, if there is one; the first of equals."""
    holding = np.flatnonzero(((found.boxes[:, 0] <= point) & (point <= found.boxes[:, 1])).all(axis=1))
    sizes = (found.boxes[holding, 1] - found.boxes[holding, 0]).prod(axis=1)
    if len(holding):
        yield int(holding[np.argmin(sizes)])


def _once(parts: Sequence[Points]) -> Points:
    """All points of several prompts, each once."""
    points, labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    _, first = np.unique(np.column_stack([points, labels]), axis=0, return_index=True)
    order = np.sort(first)
    return points[order], labels[order]
