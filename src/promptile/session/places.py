"""Where sessions lie that nobody gave a place: one folder per image, found again wherever the image is moved to."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from shutil import rmtree

from platformdirs import user_data_path

from promptile.run import SUFFIX
from promptile.session.work import Session
from promptile.sources.protocol import Source


def default_folder() -> Path:
    """The folder of all sessions of this user."""
    return Path(user_data_path("promptile", appauthor=False)) / "sessions"


def place_of(source: Source, folder: Path | None = None) -> Path:
    """The run folder of an image's session in `folder`: its name says which image, its digits tell it from others."""
    known = {key: value for key, value in source.identity.items() if key != "name"}
    digits = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:10]
    name = re.sub(r"[^\w.-]+", "_", source.name)[:60] or "image"
    return (folder or default_folder()) / f"{name}-{digits}{SUFFIX}"


def put_away(session: Session) -> None:
    """Close a session; one in which nothing was done leaves nothing behind."""
    run = session.run
    nothing = not session.states and not run.journal.steps and run.draft is None and not run.prompts
    session.close()
    if nothing:
        rmtree(run.path, ignore_errors=True)
