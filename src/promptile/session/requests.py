"""Runs that are asked for beside the clicking: over the view, an area or the whole image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from promptile.engine.everything import Everything
from promptile.engine.flatten import Keep
from promptile.engine.progress import Progress
from promptile.errors import PromptError, RunError, UsageError
from promptile.folders import Local
from promptile.grid import Window
from promptile.prompts.area import Area
from promptile.prompts.types import Prompt, Prompts
from promptile.run import SUFFIX, Run
from promptile.segmentation import segment
from promptile.session.work import Session

_ROOM = ".runs"
_ASKED = ".json"
"""In place of the last suffix of a run: what was asked for."""


@dataclass(frozen=True, eq=False)
class Request:
    """A run over many tiles: of everything, or of prompts.

    Parameters
    ----------
    prompts : Prompts, optional
        Without them, everything is wanted.
    area : Prompts, optional
        Boxes and polygons: only what lies there is wanted. Without it, the whole image.
    keep : {"best", "whole", "part", "all"}
        What is kept of objects that hold one another, see `Everything`.
    min_region : int
        Smaller objects are left out, in samples.
    level : int, optional
        Where points are asked; default 0.
    """

    prompts: Prompts | None = None
    area: Prompts | None = None
    keep: Keep = "best"
    min_region: int = 0
    level: int | None = None

    def __post_init__(self) -> None:
        if self.keep not in get_args(Keep):
            raise UsageError(f"keep={self.keep!r} is not known: use {', '.join(get_args(Keep))}")

    @property
    def what(self) -> Literal["everything", "prompts"]:
        return "everything" if self.prompts is None else "prompts"

    def to_json(self) -> dict[str, Any]:
        said = (None if p is None else p.to_json() for p in (self.prompts, self.area))
        return dict(zip(("prompts", "area"), said, strict=True)) | {
            "keep": self.keep,
            "min_region": self.min_region,
            "level": self.level,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Request:
        """The request that `to_json` gave, also after a way through a file."""
        parts = {
            key: None if stored[key] is None else Prompts(tuple(map(Prompt.from_json, stored[key])))
            for key in ("prompts", "area")
        }
        return cls(**parts, keep=stored["keep"], min_region=stored["min_region"], level=stored.get("level"))

    def place(self, session: Session) -> Path:
        """Where its run lies, beside the session: the same for the same wishes, so that it goes on there."""
        said = session.setting.to_json() | self.to_json()  # at its own level, wherever clicks are asked meanwhile
        digits = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:10]
        return _home(session) / f"{self.what}-{digits}{SUFFIX}"

    def run(self, session: Session, progress: Progress) -> Run:
        """Compute it with the model and the rendering that the session uses now; go on with what is there.

        Parameters
        ----------
        session : Session
        progress : callable
            Called with (what, done, total) between two tiles; what it raises ends the work, to be gone on with later.

        Raises
        ------
        PromptError
            If no prompt lies in the area.
        """
        place = self.place(session)
        Local(place.parent).write(place.with_suffix(_ASKED).name, json.dumps(self.to_json()).encode())
        area = None if self.area is None else Area(self.area)
        common: dict[str, Any] = {**session.options, "out": place, "progress": progress}
        if self.prompts is None:
            wanted = Everything(keep=self.keep, area=area, min_region=self.min_region)
            return segment(session.source, everything=wanted, **common)
        prompts = self.prompts if area is None else _within(self.prompts, area)
        return segment(session.source, prompts, level=self.level, **common)


@dataclass(frozen=True, eq=False)
class Asked:
    """A run that was asked for, and where it lies."""

    request: Request
    path: Path

    def fits(self, session: Session) -> bool:
        """Whether it was asked of the model and the rendering that the session uses now."""
        return self.path == self.request.place(session)

    @property
    def finished(self) -> bool:
        return (self.path / "finished.json").exists()


def asked_before(session: Session) -> list[Asked]:
    """Runs that were asked for beside a session, also by earlier ones that were killed."""
    found = []
    for path in sorted(_home(session).glob(f"*{_ASKED}")):
        try:
            request = Request.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(f"{path} is damaged: move it elsewhere to go on without it") from error
        found.append(Asked(request, path.with_suffix(Path(SUFFIX).suffix)))
    return found


def waiting(session: Session) -> list[Request]:
    """Runs beside a session that were interrupted, and can be gone on with as it asks now."""
    return [asked.request for asked in asked_before(session) if not asked.finished and asked.fits(session)]


def _home(session: Session) -> Path:
    home = Path(session.run.path)
    return home.with_name(f"{home.name.removesuffix(SUFFIX)}{_ROOM}")


def _within(prompts: Prompts, area: Area) -> Prompts:
    """The prompts whose middle lies in the area."""
    kept = []
    for prompt in prompts:
        middle = np.rint(prompt.extent.mean(axis=0)).astype(int).tolist()
        if area.within(Window(tuple(middle), (1,) * len(middle)), (1,) * len(middle)).any():
            kept.append(prompt)
    if not kept:
        raise PromptError("No prompt lies in the area: choose another area, or the whole image")
    return Prompts(tuple(kept))
