"""Objects of other runs of the same image, as states of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from promptile.errors import RunError
from promptile.masks import Edit, ObjectMask
from promptile.run import PromptedRun, Record, Run, State

_SETTING = ("model", "rendering", "tiling", "level")


def check_same_image(run: Run, mine: Run) -> None:
    """Raise RunError if two runs are of different images."""
    images = [{k: v for k, v in r.spec["image"].items() if k != "name"} for r in (run, mine)]
    if images[0] != images[1] or run.grid != mine.grid:
        raise RunError(f"{run.name} is of another image than {mine.name}: open that image to work on it")


def taken_from(run: Run, object_ids: Iterable[int]) -> Iterator[tuple[State, ObjectMask, Edit | None]]:
    """Objects of a run as they are there, each with its mask and what was done to it by hand.

    Raises
    ------
    RunError
        If one is not there.
    """
    states = run.states() if isinstance(run, PromptedRun) else _proposed(run)
    for i in object_ids:
        if i not in states:
            raise RunError(f"{run.name} has no object {i}: choose one of its table")
        state = states[i]
        if state.prompt is not None and state.asked is None:
            state = replace(state, asked=setting_of(run))
        edit = run.edit(state.record) if isinstance(run, PromptedRun) and state.edited else None
        yield state, run.mask(i), edit


def setting_of(run: Run) -> dict[str, Any]:
    """How a run asked for all objects that do not say it themselves."""
    return {key: run.spec.get(key) for key in _SETTING} | {"candidate": None}


def _proposed(run: Run) -> dict[int, State]:
    return {int(row["id"]): State(_record(row)) for _, row in run.objects.iterrows()}


def renumbered(state: State, number: int, category: str) -> State:
    """The same object under another id, and in `category` if there is one."""
    record = replace(state.record, id=number, version=0, category=category or state.record.category)
    prompt = None if state.prompt is None else {**state.prompt, "id": number, "category": record.category}
    return replace(state, record=record, prompt=prompt)


def _record(row: pd.Series) -> Record:
    """What a run of everything knows of an object."""
    return Record(
        id=int(row["id"]),
        category=str(row["category"]),
        prompt=str(row["prompt"]),
        score=float(row["score"]),
        tiles=int(row["tiles"]),
        open_edge=bool(row["open_edge"]),
    )
