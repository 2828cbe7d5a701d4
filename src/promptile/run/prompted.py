"""A run of objects from prompts: each has a mask and a record of its own, and may be changed by hand.

::

    masks/000017.npz     one object's samples in packed blocks (`ObjectMask.save`); 000017.2.npz once it was changed
    commits/000017.json  its record: written after the mask, so an object counts only once it is whole
    finished.json        all records, written after the labels
    journal/             what was done by hand since (`Journal`)
    edits/               samples that were added and removed by hand, in all
    draft.json           the object that a session is about
    unpainted.json       where the labels are behind the journal
    detections/          what a detector said, where objects were asked for by text (`DetectionStore`)
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import count
from typing import Any
from zipfile import BadZipFile

import pandas as pd

from promptile.errors import RunError
from promptile.folders import folder_of
from promptile.grid import Grid, Window
from promptile.masks import Edit, ObjectMask
from promptile.run.beginning import begin
from promptile.run.detections import failed_in
from promptile.run.journal import ROOM, Journal, State
from promptile.run.measured import MEASURED
from promptile.run.parts import DRAFT, read_json
from promptile.run.record import Failure, Record
from promptile.run.store import Run

_FINISHED, _UNPAINTED = "finished.json", "unpainted.json"
_EDITS = ("added", "removed")


class PromptedRun(Run):
    """One object per prompt. Objects may overlap."""

    @classmethod
    def start(
        cls,
        path: str | os.PathLike[str],
        spec: Mapping[str, Any],
        prompts: Sequence[Mapping[str, Any]] | None,
        *,
        restart: bool,
    ) -> PromptedRun:
        """A run to compute, locked for this process: a new one, or the same one to be continued.

        Parameters
        ----------
        path : path or URL
        spec : mapping
            What is run; JSON-able.
        prompts : sequence of mapping, optional
            One per object, with its ``id``; JSON-able. None: those of the run that is there, or none yet.
        restart : bool
            Throw away what is there.

        Raises
        ------
        RunError
            If another process works on it, or it was made from something else; the difference is named.
        """
        return begin(cls(folder_of(path)), spec, prompts, restart=restart)

    @classmethod
    def work_on(cls, path: str | os.PathLike[str], spec: Mapping[str, Any]) -> PromptedRun:
        """A locked run to be worked on by hand: a new one, or one of the same image, whatever asked for it.

        Raises
        ------
        RunError
            If another process works on it, or it is of another image, or of everything.
        """
        run = begin(cls(folder_of(path)), spec, None, of_image=True)
        if "everything" in run.spec:
            run.close()
            raise RunError(f"{run.path} is a run of everything: choose another place, and take objects from it there")
        return run

    def create_parts(self, grid: Grid) -> None:
        """Masks and records come one by one."""

    @property
    def layers(self) -> int:
        return 0

    def commit(self, record: Record, mask: ObjectMask | None) -> None:
        """Keep the answer to a prompt; without a mask, keep why there is none."""
        if mask is not None:
            self.keep(record, mask)
        self.folder.write(f"commits/{record.id:06d}.json", json.dumps(record.to_json()).encode())

    def keep(self, record: Record, mask: ObjectMask) -> None:
        """Write an object's mask; it counts once its record does."""
        self.folder.write(_file("masks", record.id, record.version), _packed(mask))

    def answers(self) -> list[Record]:
        """Records of all prompts that were tried, by id, whatever became of them since."""
        if self.folder.exists(_FINISHED):
            return [Record.from_json(entry) for entry in read_json(self.folder, _FINISHED)]
        names = (name for name in self.folder.names("commits") if name.endswith(".json"))
        return sorted((Record.from_json(read_json(self.folder, name)) for name in names), key=lambda r: r.id)

    def finish(self) -> None:
        """Mark the run as complete."""
        self.folder.write(_FINISHED, json.dumps([r.to_json() for r in self.answers()]).encode())

    @property
    def finished(self) -> bool:
        return self.folder.exists(_FINISHED) and self.unpainted is None

    @property
    def waiting(self) -> str:
        left = len(self.prompts) - len(self.answers())
        return f"{left} of {len(self.prompts)} objects" if left > 0 else ""

    @cached_property
    def journal(self) -> Journal:
        """What was done by hand since."""
        return Journal(self.folder)

    def states(self) -> dict[int, State]:
        """All objects that have an answer, as they are now, by id."""
        said = {prompt["id"]: prompt for prompt in self.prompts}
        states: dict[int, State | None] = {
            record.id: State(record, said.get(record.id)) for record in self.answers() if not record.error
        }
        return {i: state for i, state in sorted({**states, **self.journal.states}.items()) if state is not None}

    def records(self) -> list[Record]:
        """Records of all objects, as they are now, and of prompts without an answer; by id."""
        changed = self.journal.states
        kept = [record for record in self.answers() if record.id not in changed]
        kept += [state.record for state in changed.values() if state is not None]
        return sorted(kept, key=lambda record: record.id)

    def ask(self, prompts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Let these be the prompts, with their ids: those that are there keep theirs, and what was answered.

        The new ones get the next free ids; the others are gone, and so are their objects.
        """
        before = self.prompts
        ids = {_content(prompt): prompt["id"] for prompt in before}
        free = count(1 + max(ids.values(), default=0))
        wanted = [json.loads(json.dumps(prompt)) for prompt in prompts]
        asked = [{**p, "id": ids[_content(p)] if _content(p) in ids else next(free)} for p in wanted] if ids else wanted
        if asked != before:
            self.reopen()
            if removed := {p["id"] for p in before} - {p["id"] for p in asked}:
                self.folder.remove(MEASURED)  # the highest ids are free again, and so are their versions
            for gone in removed:
                self.folder.remove(f"commits/{gone:06d}.json")
                self.folder.remove(_file("masks", gone, 1))
            self.prompts = asked
        return asked

    @property
    def failed(self) -> list[Failure]:
        """Objects without an answer, and tiles that a detector could not be asked about."""
        return failed_in(self.folder) + [
            Failure("object", record.id, record.error) for record in self.records() if record.error
        ]

    @property
    def versions(self) -> Mapping[int, int]:
        return {record.id: record.version for record in self.records()}

    @property
    def table(self) -> pd.DataFrame:
        rows = [record.to_row() for record in self.records() if not record.error]
        names = [*Record(0, "", "", detection=0.0 if "text" in self.spec else None).to_row()]
        return pd.DataFrame(rows, columns=None if rows else names)

    def mask(self, object_id: int) -> ObjectMask:
        state = self.journal.states.get(object_id)
        return self.kept(object_id, 1 if state is None else state.record.version)

    def kept(self, object_id: int, version: int) -> ObjectMask:
        """One version of an object's mask."""
        return self._unpacked(_file("masks", object_id, version), object_id)

    def keep_edit(self, record: Record, edit: Edit) -> None:
        """Write what was added to and removed from an object by hand, all in all."""
        for name, mask in zip(_EDITS, (edit.added, edit.removed), strict=True):
            self.folder.write(_file(f"edits/{name}", record.id, record.version), _packed(mask))

    def edit(self, record: Record) -> Edit:
        """What was added to and removed from an object by hand."""
        files = (_file(f"edits/{name}", record.id, record.version) for name in _EDITS)
        return Edit(*(self._unpacked(file, record.id) for file in files))

    @property
    def draft(self) -> Any:
        """What an interactive session keeps of an object that is not accepted yet; None if there is nothing."""
        return read_json(self.folder, DRAFT) if self.folder.exists(DRAFT) else None

    @draft.setter
    def draft(self, draft: Any) -> None:
        if draft is None:
            self.folder.remove(DRAFT)
        else:
            self.folder.write(DRAFT, json.dumps(draft).encode())

    @property
    def unpainted(self) -> Window | None:
        """Where the labels may not show what the journal says, because a session was killed."""
        if not self.folder.exists(_UNPAINTED):
            return None
        try:
            return Window(*map(tuple, read_json(self.folder, _UNPAINTED)))
        except (RunError, TypeError):  # it cannot be read: anywhere
            return self.grid.window

    @unpainted.setter
    def unpainted(self, window: Window | None) -> None:
        if window is None:
            self.folder.remove(_UNPAINTED)
        else:
            self.folder.write(_UNPAINTED, json.dumps([window.start, window.shape]).encode())

    def _unpacked(self, name: str, object_id: int) -> ObjectMask:
        try:
            return ObjectMask.load(io.BytesIO(self.folder.read(name)))
        except (OSError, EOFError, LookupError, ValueError, BadZipFile, zlib.error) as error:
            by_hand = self.folder.names(ROOM)  # it would be thrown away
            cure = f"put it back, or delete object {object_id}" if by_hand else "compute the run again with --restart"
            raise RunError(
                f"Object {object_id} has no mask, {self.folder.place}/{name} is missing or damaged: {cure}"
            ) from error


def _content(prompt: Mapping[str, Any]) -> str:
    """All that a prompt says but its id."""
    return json.dumps({**prompt, "id": 0}, sort_keys=True)


def _packed(mask: ObjectMask) -> bytes:
    file = io.BytesIO()
    mask.save(file)
    return file.getvalue()


def _file(room: str, object_id: int, version: int) -> str:
    return f"{room}/{object_id:06d}{'' if version == 1 else f'.{version}'}.npz"
