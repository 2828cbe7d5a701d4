"""From what was found to prompts for a promptable model, together with what the user said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.engine.detect.findings import Objects
from promptile.grid import Window
from promptile.prompts.area import Area
from promptile.prompts.prompts import Prompts
from promptile.prompts.regions import Raster
from promptile.prompts.types import Prompt


@dataclass(frozen=True, eq=False)
class Wish:
    """A prompt, and how sure the detector was; None where the user said that there is something."""

    prompt: Prompt
    detection: float | None = None

    def to_json(self) -> dict[str, Any]:
        return self.prompt.to_json() | {"detection": self.detection}


def areas_of(said: Prompts) -> list[Area]:
    """Where the user's boxes and polygons are, as one area: objects are wanted only there; none if there are none."""
    parts = [
        replace(prompt, points=prompt.points[:0], labels=prompt.labels[:0])
        for prompt in said
        if prompt.box is not None or prompt.region is not None
    ]
    return [Area(Prompts(tuple(parts)))] if parts else []


def within(found: Objects, areas: Iterable[Area]) -> Objects:
    """Those whose box has its centre in all of the areas."""
    everywhere = list(areas)
    ones = (1,) * found.boxes.shape[-1]

    def inside(box: NDArray[np.float64]) -> bool:
        centre = Window(tuple(np.rint(box.mean(axis=0)).astype(int).tolist()), ones)
        return all(area.within(centre, ones).any() for area in everywhere)

    return found if not everywhere else found.of([n for n, box in enumerate(found.boxes) if inside(box)])


def wishes(found: Objects, said: Prompts, masks: Mapping[int, Raster], *, flat: bool) -> list[Wish]:
    """Prompts, numbered from 1 by place, and after them the objects that only the user sees.

    A positive point belongs to the smallest found box around it, and its object's other points go with it; where
    there is none, it is an object of its own. A found box with negative points and no positive one is left out.

    Parameters
    ----------
    found : Objects
    said : Prompts
    masks : mapping of int to Raster
        What the detector drew, by the number of the object.
    flat : bool
        Whether a model for images begins with one slice of a volume.
    """
    corrections, others = _corrections(found, said)
    nothing = np.zeros((0, found.boxes.shape[-1])), np.zeros(0, bool)
    made: list[Wish] = []
    for n, box in enumerate(found.starts if flat else found.boxes):
        points, labels = corrections.get(n, nothing)
        if len(labels) and not labels.any():
            continue
        prompt = Prompt(len(made) + 1, points, labels, box, masks.get(n), found.phrases[n])
        made.append(Wish(prompt, float(found.scores[n])))
    count = len(made)
    made += [Wish(replace(prompt, id=count + n)) for n, prompt in enumerate(others, 1)]
    return made


Points = tuple[NDArray[np.float64], NDArray[np.bool_]]


def _corrections(found: Objects, said: Prompts) -> tuple[dict[int, Points], list[Prompt]]:
    """The points that go to each found object, and the user's objects that are none of them."""
    gathered: dict[int, list[Points]] = {}
    others = []
    for prompt in said:
        on = {owner for point in prompt.points[prompt.labels] for owner in _around(found, point)}
        for owner in on:
            gathered.setdefault(owner, []).append((prompt.points, prompt.labels))
        if not on and prompt.labels.any():
            others.append(replace(prompt, box=None, region=None))
    for point in [*said.denied, *(point for prompt in said for point in prompt.points[~prompt.labels])]:
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
