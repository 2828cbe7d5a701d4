"""Where sessions lie that nobody gave a place: one folder per image, found again wherever the image is moved to."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from platformdirs import user_data_path

from promptile.run import SUFFIX
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
