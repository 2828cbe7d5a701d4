"""The objects of a session's run: they change step by step, and the labels follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

from promptile.engine.paint import paint
from promptile.errors import PromptError, RunError
from promptile.grid import Window
from promptile.masks import Edit, ObjectMask
from promptile.measures import measure
from promptile.prompts.types import LARGEST_ID
from promptile.run import Change, PromptedRun, Record, State, Step


class Ledger:
    """What objects there are, and how they came to be.

    Parameters
    ----------
    run : PromptedRun
        Locked for this process. Labels that a killed process left behind its journal are painted now.
    """

    def __init__(self, run: PromptedRun) -> None:
        self.run = run
        self._behind: list[Window] = []
        """Where the labels do not show what the journal says: not for long, unless the disk is full."""
        try:
            self._states = run.states()
        except RunError:
            run.unpainted = run.grid.window  # whoever goes on without what is damaged has other objects
            raise
        self._highest = max([run.journal.highest, *(said["id"] for said in run.prompts)], default=0)
        self._mend()

    @property
    def states(self) -> Mapping[int, State]:
        """All objects, by id."""
        return self._states

    def state(self, object_id: int) -> State:
        """One object.

        Raises
        ------
        PromptError
            If it is not there.
        """
        try:
            return self._states[object_id]
        except KeyError:
            raise PromptError(f"There is no object {object_id}: choose one from the table") from None

    def next_id(self) -> int:
        """An id that was never given."""
        if self._highest >= LARGEST_ID:
            raise PromptError(f"Object {LARGEST_ID} was given, and there is no higher id: begin another run")
        self._highest += 1
        return self._highest

    def boxes(self) -> dict[int, Window]:
        """Bounding boxes of all objects that have samples."""
        return {i: Window.between(*s.record.bbox) for i, s in self._states.items() if s.record.count}

    def write(self, state: State, mask: ObjectMask, edit: Edit | None = None) -> State:
        """Write an object's mask, and all that was done to it by hand; the state that goes with them.

        It counts once it is part of a step.
        """
        record = state.record
        record = replace(
            record,
            version=1 + self._version(record.id),
            bbox=(mask.window.start, mask.window.stop),
            count=mask.count,
            measures=measure(mask, self.run.grid),
            touches_edge=mask.touches_edge(),
        )
        self.run.keep(record, mask)
        if edit is not None:
            self.run.keep_edit(record, edit)
        return replace(state, record=record, edited=edit is not None)

    def do(self, what: str, after: Mapping[int, State | None], about: Mapping[str, Any] | None = None) -> Step:
        """Change objects; they are as given in `after`, None where they are gone."""
        changes = tuple(Change(i, self._states.get(i), state) for i, state in after.items())
        self._highest = max(self._highest, *after, 0)
        step = Step(what, changes, about or {}, self._highest)
        self._mark(step)
        self.run.journal.append(step)
        self._follow({change.id: change.after for change in changes}, step)
        return step

    def undo(self) -> Step | None:
        """Take the last step back; None if there is none."""
        step = self.run.journal.next_undone
        if step is not None:
            self._mark(step)
            self.run.journal.undo()
            self._follow({change.id: change.before for change in step.changes}, step)
        return step

    def redo(self) -> Step | None:
        """Do the step again that was taken back last; None if there is none."""
        step = self.run.journal.next_redone
        if step is not None:
            self._mark(step)
            self.run.journal.redo()
            self._follow({change.id: change.after for change in step.changes}, step)
        return step

    def _follow(self, states: Mapping[int, State | None], step: Step) -> None:
        merged = {**self._states, **states}
        self._states = {i: state for i, state in sorted(merged.items()) if state is not None}
        self._behind += repainted(step)
        if self._behind:
            paint(self.run, self._records(), within=self._behind)
            self.run.unpainted = None
            self._behind = []

    def _mark(self, step: Step) -> None:
        """Said before anything is changed: who finds the run after a crash paints there."""
        windows = self._behind + repainted(step)
        if windows:
            self.run.unpainted = reduce(Window.__or__, windows)

    def _mend(self) -> None:
        """Paint what is not painted: a step that was cut off, or all of a run that was, or whose labels were lost."""
        if not self.run.folder.exists("labels/zarr.json"):
            self.run.create_labels()
            self.run.unpainted = self.run.grid.window
        behind = self.run.unpainted
        if behind is not None:
            paint(self.run, self._records(), within=[behind])
            self.run.unpainted = None
        if not self.run.finished:
            paint(self.run, self._records())
            self.run.finish()

    def _records(self) -> list[Record]:
        return [state.record for state in self._states.values()]

    def _version(self, object_id: int) -> int:
        known = self._states.get(object_id)
        return max(self.run.journal.version(object_id), 0 if known is None else known.record.version)


def repainted(step: Step) -> list[Window]:
    """Where labels change with a step: the objects that got another mask, came or went, each in its box."""
    windows = []
    for change in step.changes:
        records = [state.record for state in (change.before, change.after) if state is not None]
        if len({record.version for record in records}) != 1 or len(records) == 1:
            boxes = [Window.between(*record.bbox) for record in records if record.count]
            windows += [reduce(Window.__or__, boxes)] if boxes else []
    return windows
