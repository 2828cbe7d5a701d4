"""What was done by hand in a run, step by step: each can be taken back and done again, also after a crash.

::

    journal/000001.json   a step: the objects that it changed, as they were before and after
    journal/undone.json   the number of the last step that counts; there only while some are taken back
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from promptile.errors import RunError
from promptile.folders import Folder
from promptile.run.record import Record

ROOM = "journal"

_UNDONE = f"{ROOM}/undone.json"

T = TypeVar("T")


@dataclass(frozen=True)
class State:
    """All that a run knows of one object beside its mask.

    Parameters
    ----------
    record : Record
    prompt : mapping, optional
        What the user said, as `Prompt.to_json` gives it; None for objects that no model was asked for.
    asked : mapping, optional
        How the model looked at the image: model, rendering, tiling, level, candidate. None: as the run's spec says.
    colour : str
        ``#rrggbb``; empty for any.
    edited : bool
        Whether samples were added or removed by hand (`PromptedRun.edit`).
    """

    record: Record
    prompt: Mapping[str, Any] | None = None
    asked: Mapping[str, Any] | None = None
    colour: str = ""
    edited: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "record": self.record.to_json(),
            "prompt": self.prompt,
            "asked": self.asked,
            "colour": self.colour,
            "edited": self.edited,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> State:
        """The state that `to_json` gave, also after a way through a file."""
        return cls(**{**stored, "record": Record.from_json(stored["record"])})


@dataclass(frozen=True)
class Change:
    """One object before and after a step; None where it is not there."""

    id: int
    before: State | None
    after: State | None


@dataclass(frozen=True)
class Step:
    """Something that the user did.

    Parameters
    ----------
    what : str
        ``accept``, ``paint``, ``rename``, ``delete``, ...
    changes : tuple of Change
        One per object, in any order.
    about : mapping
        What else is known of it; JSON-able.
    highest : int
        The highest id that was ever given, this step included: an id is never given twice.
    when : str
        ISO 8601, UTC.
    """

    what: str
    changes: tuple[Change, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    highest: int = 0
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def to_json(self) -> dict[str, Any]:
        changes = [{"id": c.id, "before": _json_of(c.before), "after": _json_of(c.after)} for c in self.changes]
        return {**self.__dict__, "about": dict(self.about), "changes": changes}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Step:
        """The step that `to_json` gave, also after a way through a file."""
        changes = (Change(c["id"], _state_of(c["before"]), _state_of(c["after"])) for c in stored["changes"])
        return cls(**{**stored, "changes": tuple(changes)})


class Journal:
    """The steps of a run. Read once; one process writes.

    Raises
    ------
    RunError
        If a step cannot be read. Without its file, the others are read.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._numbers = sorted(_numbers_in(folder))
        self.steps: list[Step] = [_read(folder, _name(number), Step.from_json) for number in self._numbers]
        """All of them, the undone ones last."""
        self.done = len(self.steps)
        """How many count."""
        self.highest = max((step.highest for step in self.steps), default=0)
        """The highest id that a step has given, also one that was taken back."""
        if folder.exists(_UNDONE):
            last, highest = _read(folder, _UNDONE, lambda kept: (int(kept["last"]), int(kept["highest"])))
            self.done = bisect_right(self._numbers, last)
            self.highest = max(self.highest, highest)
        self._states: dict[int, State | None] = {}
        self._versions: dict[int, int] = {}
        for n, step in enumerate(self.steps):
            self._learn(step, counts=n < self.done)

    @property
    def states(self) -> Mapping[int, State | None]:
        """Objects that steps have changed, as they are now; None where they are gone."""
        return self._states

    def version(self, object_id: int) -> int:
        """The highest version of an object's mask in any step; 0 if there is none."""
        return self._versions.get(object_id, 0)

    def append(self, step: Step) -> None:
        """Do something new; what was taken back is forgotten."""
        step = replace(step, highest=max(step.highest, self.highest))
        forgotten = self._numbers[self.done :]
        for number in reversed(forgotten[1:]):
            self._folder.remove(_name(number))
        # In place of the first one that is forgotten: until then, `undone.json` knows which ids were given.
        number = forgotten[0] if forgotten else 1 + max(self._numbers, default=0)
        self._folder.write(_name(number), json.dumps(step.to_json()).encode())
        self._folder.remove(_UNDONE)
        self.steps[self.done :] = [step]
        self._numbers[self.done :] = [number]
        self.done, self.highest = len(self.steps), step.highest
        self._learn(step)

    def _learn(self, step: Step, *, counts: bool = True) -> None:
        for change in step.changes:
            if counts:
                self._states[change.id] = change.after
            for state in (change.before, change.after):
                if state is not None:
                    version = state.record.version
                    self._versions[change.id] = max(self._versions.get(change.id, 0), version)

    @property
    def next_undone(self) -> Step | None:
        """What `undo` takes back."""
        return self.steps[self.done - 1] if self.done else None

    @property
    def next_redone(self) -> Step | None:
        """What `redo` does again."""
        return self.steps[self.done] if self.done < len(self.steps) else None

    def undo(self) -> None:
        """Take the last step back; there must be one."""
        step = self.steps[self.done - 1]
        self._count(self.done - 1)
        self._states |= {change.id: change.before for change in step.changes}

    def redo(self) -> None:
        """Do the step that was taken back last again; there must be one."""
        step = self.steps[self.done]
        self._count(self.done + 1)
        self._states |= {change.id: change.after for change in step.changes}

    def _count(self, done: int) -> None:
        if done == len(self.steps) and self.steps[-1].highest == self.highest:
            self._folder.remove(_UNDONE)
        else:
            kept = {"last": self._numbers[done - 1] if done else 0, "highest": self.highest}
            self._folder.write(_UNDONE, json.dumps(kept).encode())
        self.done = done


def _name(number: int) -> str:
    return f"{ROOM}/{number:06d}.json"


def _numbers_in(folder: Folder) -> Iterator[int]:
    for name in folder.names(ROOM):
        stem, _, suffix = name.rpartition("/")[2].partition(".")
        if stem.isdecimal() and suffix == "json":
            yield int(stem)


def _read(folder: Folder, name: str, made: Callable[[Any], T]) -> T:
    """What is made of a file. Computing the run again would not bring back what was done by hand."""
    try:
        return made(json.loads(folder.read(name)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{folder.place}/{name} is damaged: move it elsewhere to go on without it") from error


def _json_of(state: State | None) -> dict[str, Any] | None:
    return None if state is None else state.to_json()


def _state_of(stored: Mapping[str, Any] | None) -> State | None:
    return None if stored is None else State.from_json(stored)
