"""What was said in a session, said again: the same prompts give the same labels, without a window."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptile.engine.progress import Progress, one_line, silent
from promptile.errors import RunError
from promptile.masks import ObjectMask, blocks_of
from promptile.models.protocols import Model
from promptile.prompts.types import Prompt
from promptile.run import PromptedRun, Run, State
from promptile.session.setting import Setting
from promptile.session.taking import setting_of
from promptile.session.work import Session
from promptile.sources import open_source
from promptile.sources.protocol import Source


@dataclass(frozen=True)
class Replay:
    """What came of saying everything again.

    Parameters
    ----------
    run : PromptedRun
        The new run.
    objects : int
        How many there are.
    asked : int
        How many of them a model was asked for; the others are by hand or were taken from another run, and are copied.
    differing : mapping from int to str
        Objects that are not the same sample by sample, and how they differ.
    samples : int
        How many samples of the labels differ.
    """

    run: PromptedRun
    objects: int
    asked: int
    differing: Mapping[int, str]
    samples: int

    def to_json(self) -> dict[str, Any]:
        facts = {"run": str(self.run.path), "objects": self.objects, "asked": self.asked}
        return {**facts, "differing": dict(self.differing), "differing_samples": self.samples}


def replay(
    run: Run,
    image: Any = None,
    *,
    out: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    progress: Progress = silent,
) -> Replay:
    """Ask for all objects of a run again, as they were asked for, and compare.

    Parameters
    ----------
    run : Run
        Of prompts, or of a session.
    image : Source, path or array, optional
        Where the image is; without it, where it was.
    out : path, optional
        The folder of the new run; without it, it vanishes with the returned object.
    model : Model, optional
        The model, if it is none that has a name.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    RunError
        If it is a run of everything, or the image is another one.
    ModelError
        If the model is not installed, or not the one that was asked.
    """
    if not isinstance(run, PromptedRun):
        raise RunError(f"{run.name} is a run of everything: run promptile segment again to compute it again")
    source = open_source(**run.image) if image is None and run.image else open_source(image)
    settings = _Settings(source, model)
    first = settings.of(setting_of(run))
    with Session(source, first.job.model, out=out) as session:
        again = _Again(run, session, settings)
        states = run.states()
        for n, (i, state) in enumerate(states.items()):
            progress("objects", n, len(states))
            again.say(i, state)
        session.ledger.do("replay", again.states, {"run": run.name})
        progress("objects", len(states), len(states))
    asked = sum(state.prompt is not None for state in states.values())
    return Replay(session.run, len(states), asked, again.differing, _differing(run, session.run))


class _Settings:
    """Settings by what is stored of them, each made once."""

    def __init__(self, source: Source, model: Model | None) -> None:
        self._source, self._model = source, model
        self._known: dict[str, Setting] = {}

    def of(self, asked: Mapping[str, Any]) -> Setting:
        key = json.dumps({**asked, "candidate": None}, sort_keys=True)
        if key not in self._known:
            self._known = {key: Setting.from_json(asked, self._source, self._model)}  # its embeddings take memory
        return self._known[key]


class _Again:
    """The objects of a run, asked for again one by one."""

    def __init__(self, run: PromptedRun, session: Session, settings: _Settings) -> None:
        self._run, self._session, self._settings = run, session, settings
        self.states: dict[int, State | None] = {}
        self.differing: dict[int, str] = {}

    def say(self, i: int, state: State) -> None:
        before = self._run.mask(i)
        edit = self._run.edit(state.record) if state.edited else None
        try:
            mask = before if state.prompt is None else self._grown(state)
        except Exception as error:  # one object that has no answer must not hide the others
            self.differing[i] = one_line(error)
            return
        mask = mask if edit is None else edit.on(mask)
        wrong = (mask - before).count + (before - mask).count
        if wrong:
            self.differing[i] = f"{wrong} of {before.count} samples differ"
        self.states[i] = self._session.ledger.write(state, mask, edit)

    def _grown(self, state: State) -> ObjectMask:
        asked = state.asked or setting_of(self._run)
        prompt = Prompt.from_json(state.prompt or {})
        return self._settings.of(asked).grower.grow(prompt, asked["candidate"]).mask


def _differing(run: PromptedRun, other: PromptedRun) -> int:
    """How many samples of two label images differ."""
    count = 0
    for block in blocks_of(run.grid.window):
        window = block.clip(run.grid.shape)
        count += int(np.count_nonzero(run.read_labels(window) != other.read_labels(window)))
    return count
