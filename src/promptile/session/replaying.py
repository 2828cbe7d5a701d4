"""What was said in a session, said again: the same prompts give the same labels, without a window."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from promptile import models
from promptile.engine.objects import Grower
from promptile.engine.progress import Progress, one_line, silent
from promptile.errors import RunError
from promptile.masks import blocks_of
from promptile.models.protocols import Model
from promptile.prompts.types import Prompt
from promptile.run import PromptedRun, Run, State
from promptile.run.housing import housed
from promptile.session.images import image_of
from promptile.session.ledger import Ledger
from promptile.session.setting import Setting, axes_of
from promptile.session.taking import setting_of
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

    @property
    def identical(self) -> bool:
        """Whether all objects and all labels are the same, sample by sample."""
        return not self.differing and not self.samples

    def to_json(self) -> dict[str, Any]:
        facts = {"identical": self.identical, "run": str(self.run.path), "objects": self.objects, "asked": self.asked}
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
        The model of its name, if it is none that is installed.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    RunError
        If it is a run of everything or not finished, the image is another one or not there, or `out` is in use.
    ModelError
        If a model is not installed, or not the one that was asked.
    """
    if not isinstance(run, PromptedRun):
        raise RunError(f"{run.name} is a run of everything: run promptile segment again to compute it again")
    if not run.finished:
        raise RunError(f"{run.name} was stopped before its labels were painted: go on with it, and end that")
    source = image_of(run, image)
    rounds = _rounds(run, source, model)
    spec = {k: v for k, v in run.spec.items() if k != "format"}
    with closing(housed(partial(PromptedRun.work_on, spec=spec), out, getattr(source, "place", {}))) as again:
        if again.states():
            raise RunError(f"{again.path} has objects already: choose another place with --out")
        said = _Again(run, Ledger(again), progress)
        for setting, ids in rounds:
            said.say_all(setting, ids)
        said.keep()
    asked = sum(len(ids) for setting, ids in rounds if setting is not None)
    return Replay(again, said.total, asked, dict(sorted(said.differing.items())), _differing(run, again))


def _rounds(run: PromptedRun, source: Source, model: Model | None) -> list[tuple[Setting | None, list[int]]]:
    """Ways in which objects were asked for, and which ones; None for objects that no model was asked for."""
    settings: dict[str, Setting | None] = {"": None}
    loaded = {} if model is None else {(model.card.name, model.card.ndim): model}
    found: dict[str, list[int]] = {}
    for i, state in run.states().items():
        key = ""
        if state.prompt is not None:
            asked = {**(state.asked or setting_of(run)), "candidate": None}
            key, name = json.dumps(asked, sort_keys=True), (asked["model"]["name"], axes_of(asked, source))
            if name not in loaded:
                loaded[name] = models.load(*name)
            if key not in settings:
                settings[key] = Setting.from_json(asked, source, loaded[name])
        found.setdefault(key, []).append(i)
    return [(settings[key], ids) for key, ids in found.items()]


class _Again:
    """The objects of a run, asked for again one by one."""

    def __init__(self, run: PromptedRun, ledger: Ledger, progress: Progress) -> None:
        self._run = run
        self._ledger = ledger
        self._progress = progress
        self._before = run.states()
        self._states: dict[int, State | None] = {}
        self.differing: dict[int, str] = {}

    @property
    def total(self) -> int:
        return len(self._before)

    def say_all(self, setting: Setting | None, ids: list[int]) -> None:
        """Ask for objects in the same way."""
        grower = None if setting is None else setting.job.grower(setting.level)  # goes with what it looked at
        for i in ids:
            self._progress("objects", len(self._states.keys() | self.differing), self.total)
            self._say(i, self._before[i], grower)

    def keep(self) -> None:
        """Make objects of all answers."""
        self._ledger.do("replay", dict(sorted(self._states.items())), {"run": self._run.name})
        self._progress("objects", self.total, self.total)

    def _say(self, i: int, state: State, grower: Grower | None) -> None:
        before = self._run.mask(i)
        edit = self._run.edit(state.record) if state.edited else None
        mask = before
        if grower is not None and state.prompt is not None:
            candidate = None if state.asked is None else state.asked["candidate"]
            try:
                grown = grower.grow(Prompt.from_json(state.prompt), candidate)
            except Exception as error:  # one object that has no answer must not hide the others
                self.differing[i] = one_line(error)
                return
            mask = grown.mask if edit is None else edit.on(grown.mask)
            record = replace(state.record, score=grown.score, tiles=grown.tiles, open_edge=grown.open_edge)
            state = replace(state, record=record)
        wrong = (mask - before).count + (before - mask).count
        if wrong:
            self.differing[i] = f"{wrong} of {before.count} samples differ"
        self._states[i] = self._ledger.write(state, mask, edit)


def _differing(run: PromptedRun, other: PromptedRun) -> int:
    """How many samples of two label images differ."""
    count = 0
    for block in blocks_of(run.grid.window):
        window = block.clip(run.grid.shape)
        count += int(np.count_nonzero(run.read_labels(window) != other.read_labels(window)))
    return count
