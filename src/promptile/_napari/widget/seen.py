"""What the panels show: values that the worker hands over, so that no panel asks a session at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from promptile._napari.sketch import Sketch
from promptile.counts import counted
from promptile.grid import Grid
from promptile.models.protocols import ModelCard
from promptile.rendering import Rendering
from promptile.run import Record, State, Step
from promptile.session import Session, Thumbnail

_STEPS = {
    "accept": "object",
    "revise": "correction of object",
    "paint": "painting on object",
    "rename": "category of object",
    "recolour": "colour of object",
    "delete": "deletion of object",
    "take": "taking over of",
    "reject": "rejection of",
}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A session at one moment."""

    path: Path
    grid: Grid
    channels: tuple[str, ...]
    levels: tuple[tuple[int, ...], ...]
    modality: str
    card: ModelCard
    rendering: Rendering
    level: int | None
    states: Mapping[int, State]
    undo: str
    """What `undo` takes back, in words; empty if there is nothing."""
    redo: str
    revised: int | None

    @classmethod
    def of(cls, session: Session) -> Snapshot:
        """A session as it is now; called in the thread that works with it."""
        source, journal = session.source, session.run.journal
        return cls(
            path=Path(session.run.path),
            grid=source.grid,
            channels=tuple(source.channels),
            levels=tuple(source.levels),
            modality=source.modality,
            card=session.card,
            rendering=session.rendering,
            level=session.setting.level,
            states=session.states,
            undo=words_of(journal.next_undone),
            redo=words_of(journal.next_redone),
            revised=session.revised,
        )


@dataclass(frozen=True, eq=False)
class Preview:
    """What the model means by the marks of now."""

    sketch: Sketch
    count: int
    score: float
    open_edge: bool
    level: int
    thumbnails: list[Thumbnail]
    doubt: str = ""
    """What else it may be; empty if there is no doubt."""
    whole: bool = True
    """Whether it is all of the object, or what the first window or the first slices show."""
    slices: int = 0
    """How many slices of a volume were looked at so far; 0 where they are not looked at one by one."""


def words_of(step: Step | None) -> str:
    """A step as people call it."""
    if step is None:
        return ""
    ids = [change.id for change in step.changes] or list(step.about.get("objects", ()))
    named = f"{ids[0]}" if len(ids) == 1 else counted(len(ids), "object")
    return f"{_STEPS.get(step.what, step.what)} {named}"


def table_of(states: Mapping[int, State]) -> pd.DataFrame:
    """One row per object, as `Run.objects` has them."""
    rows = [state.record.to_row() for state in states.values()]
    return pd.DataFrame(rows, columns=None if rows else [*Record(0, "", "").to_row()])
