"""Runs that are asked for beside the clicking: over the view, an area or the whole image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from promptile.engine.detect import Text
from promptile.engine.everything import Everything
from promptile.engine.flatten import Keep
from promptile.engine.progress import Progress
from promptile.errors import PromptError, RunError, UsageError
from promptile.folders import Local
from promptile.grid import Window
from promptile.prompts.area import Area
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.run import SUFFIX, Run
from promptile.segmentation import segment
from promptile.session.work import Session

_ROOM = ".runs"
_ASKED = ".json"
"""In place of the last suffix of a run: what was asked for."""


@dataclass(frozen=True)
class Named:
    """Objects that are wanted by name.

    Parameters
    ----------
    phrases : tuple of str
    detector : str
        The name of the model that looks for them.
    least : float, optional
        How sure it must be, of objects and of words, 0 to 1; both as its own thresholds say by default.
    """

    phrases: tuple[str, ...]
    detector: str
    least: float | None = None

    def __post_init__(self) -> None:
        if not self.detector:
            raise UsageError("Which model is to look for it? Choose a detector")
        object.__setattr__(self, "phrases", self.text(None).phrases)

    def text(self, area: Area | None) -> Text:
        """What is wanted of `segment`."""
        return Text(self.phrases, self.least, self.least, area=area)


@dataclass(frozen=True, eq=False)
class Request:
    """A run over many tiles: of everything, of prompts, or of what a text names.

    Parameters
    ----------
    prompts : Prompts, optional
        Without them, and without `named`, everything is wanted; with `named`, they correct what is found.
    area : Prompts, optional
        Boxes and polygons: only what lies there is wanted. Without it, the whole image.
    keep : {"best", "whole", "part", "all"}
        What is kept of objects that hold one another, see `Everything`.
    min_region : int
        Smaller objects are left out, in samples.
    level : int, optional
        Where points are asked; default 0.
    named : Named, optional
    """

    prompts: Prompts | None = None
    area: Prompts | None = None
    keep: Keep = "best"
    min_region: int = 0
    level: int | None = None
    named: Named | None = None

    def __post_init__(self) -> None:
        if self.keep not in get_args(Keep):
            raise UsageError(f"keep={self.keep!r} is not known: use {', '.join(get_args(Keep))}")

    @property
    def what(self) -> Literal["everything", "prompts", "text"]:
        if self.named is not None:
            return "text"
        return "everything" if self.prompts is None else "prompts"

    def to_json(self) -> dict[str, Any]:
        said = (None if p is None else p.to_json() for p in (self.prompts, self.area))
        return dict(zip(("prompts", "area"), said, strict=True)) | {
            "keep": self.keep,
            "min_region": self.min_region,
            "level": self.level,
            **({} if self.named is None else {"named": asdict(self.named)}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Request:
        """The request that `to_json` gave, also after a way through a file."""
        parts = {
            key: None if stored[key] is None else Prompts(tuple(map(Prompt.from_json, stored[key])))
            for key in ("prompts", "area")
        }
        named = stored.get("named")
        return cls(
            **parts,
            keep=stored["keep"],
            min_region=stored["min_region"],
            level=stored.get("level"),
            named=None if named is None else Named(**named | {"phrases": tuple(named["phrases"])}),
        )

    def place(self, session: Session) -> Path:
        """Where its run lies, beside the session: the same for the same wishes, so that it goes on there.

        How sure a detector must be makes no difference: what it said is kept, so that it need not be asked again.
        """
        alike = self if self.named is None else replace(self, named=replace(self.named, least=None))
        said = session.setting.to_json() | alike.to_json()  # at its own level, wherever clicks are asked meanwhile
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
        anew = self._asked_otherwise(place)
        Local(place.parent).write(place.with_suffix(_ASKED).name, json.dumps(self.to_json()).encode())
        area = None if self.area is None else Area(self.area)
        common: dict[str, Any] = {**session.options, "out": place, "progress": progress}
        if self.named is not None:
            return segment(
                session.source,
                self.prompts,
                text=self.named.text(area),
                detector=self.named.detector,
                level=self.level,
                restart=anew,
                **common,
            )
        if self.prompts is None:
            wanted = Everything(keep=self.keep, area=area, min_region=self.min_region)
            return segment(session.source, everything=wanted, **common)
        prompts = self.prompts if area is None else _within(self.prompts, area)
        return segment(session.source, prompts, level=self.level, **common)

    def _asked_otherwise(self, place: Path) -> bool:
        """Whether the run there was asked for at other scores: it is made anew, from what the detector said then."""
        try:
            before = Request.from_json(json.loads(place.with_suffix(_ASKED).read_text()))
        except FileNotFoundError:
            return False
        return before.named != self.named


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
