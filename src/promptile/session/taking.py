"""Objects of other runs of the same image, as states of one's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from promptile.errors import RunError
from promptile.masks import Edit, ObjectMask
from promptile.run import PromptedRun, Record, Run, State

_SETTING = ("model", "rendering", "tiling", "level")


def taken_from(run: Run, object_ids: Iterable[int]) -> Iterator[tuple[State, ObjectMask, Edit | None]]:
    """Objects of a run as they are there, each with its mask and what was done to it by hand.

    Raises
    ------
    RunError
        If one is not there.
    """
    wanted = list(object_ids)
    states = run.states() if isinstance(run, PromptedRun) else _proposed(run, wanted)
    for i in wanted:
        if i not in states:
            raise RunError(f"{run.name} has no object {i}: choose one of its table")
        state = states[i]
        if state.prompt is not None and state.asked is None:
            state = replace(state, asked=setting_of(run))
        edit = run.edit(state.record) if isinstance(run, PromptedRun) and state.edited else None
        yield state, run.mask(i), edit


def setting_of(run: Run) -> dict[str, Any]:
    """How a run asked for all objects that do not say it themselves."""
    said = {"slices": run.spec["slices"]} if "slices" in run.spec else {}
    return {key: run.spec.get(key) for key in _SETTING} | said | {"candidate": None}


def about(run: Run, object_ids: list[int]) -> dict[str, Any]:
    """What a journal keeps of objects of another run. Another run of the same name has other objects."""
    spec = hashlib.sha256(json.dumps(run.spec, sort_keys=True).encode()).hexdigest()
    return {"run": run.name, "spec": spec[:10], "objects": object_ids}


def _proposed(run: Run, object_ids: list[int]) -> dict[int, State]:
    table = run.objects
    rows = table[table["id"].isin(object_ids)]
    return {int(row["id"]): State(_record(row)) for _, row in rows.iterrows()}


def renumbered(state: State, number: int, category: str) -> State:
    """The same object under another id, in `category`."""
    record = replace(state.record, id=number, version=0, category=category)
    prompt = None if state.prompt is None else {**state.prompt, "id": number, "category": category}
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
