"""What the user set in napari's Preferences: `napari.yaml` declares it under ``configurations``."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari.settings
from napari.utils.notifications import show_warning

from promptile import caches, models
from promptile.session.places import default_folder

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MODEL = "basin"
CACHE_GB = caches.DEFAULT_LIMIT / 1e9


@dataclass(frozen=True)
class Settings:
    """What the user set, as it can be used.

    Parameters
    ----------
    model : str
        Name of the model that is chosen at first.
    device : str
        Where models compute: one of `DEVICES`.
    sessions_folder : Path
        Where the work on images is kept.
    cache_folder : Path, optional
        Where embeddings are kept; None: where `promptile.caches` says.
    cache_bytes : int, optional
        How much they may take; None, as long as it was not changed: as `promptile.caches` says.
    """

    model: str
    device: str
    sessions_folder: Path
    cache_folder: Path | None = None
    cache_bytes: int | None = None

    @classmethod
    def read(cls) -> Settings:
        """The settings of now. What cannot be used is the default instead, and a warning says so."""
        kept = _plugin_settings()
        work, cache = _Said(kept, "work"), _Said(kept, "cache")
        return cls(
            model=work.choice("model", models.names(), MODEL),
            device=work.choice("device", DEVICES, DEVICES[0]),
            sessions_folder=work.folder("sessions_folder") or default_folder(),
            cache_folder=cache.folder("folder"),
            cache_bytes=cache.gigabytes("size_gb", CACHE_GB),
        )

    def use(self) -> None:
        """Let images that are opened from now on keep their embeddings as it is set, and models compute there."""
        caches.configure(self.cache_folder, self.cache_bytes)
        models.prefer(self.device)


class _Said:
    """One group of settings as the user left it; nothing where napari has no settings for plugins."""

    def __init__(self, kept: Any, group: str) -> None:
        self._group = group
        self._values = getattr(kept, group, None)

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        said = getattr(self._values, name, default)
        if said in allowed:
            return str(said)
        self._refuse(name, said, f"one of {', '.join(allowed)}")
        return default

    def folder(self, name: str) -> Path | None:
        said = getattr(self._values, name, "")
        if not said:
            return None
        try:
            path = Path(said).expanduser()
            if path.is_absolute() and (path.is_dir() or not path.exists()):
                return path
        except (TypeError, ValueError, RuntimeError, OSError):
            pass  # no text, no such user, a name too long: not usable either
        self._refuse(name, said, "the whole path of a folder")
        return None

    def gigabytes(self, name: str, default: float) -> int | None:
        said = getattr(self._values, name, default)
        try:
            size = float(said)
        except (TypeError, ValueError):
            size = math.nan
        if not 0 <= size < math.inf:
            self._refuse(name, said, "a number of gigabytes from 0")
            return None
        return None if size == default else round(size * 1e9)

    def _refuse(self, name: str, said: Any, needed: str) -> None:
        show_warning(f"Promptile's setting {self._group}.{name} is {said!r}, needed is {needed}: the default is used")


def _plugin_settings() -> Any:
    """What napari keeps for this plugin; None where it keeps nothing (before 0.9), or cannot read it."""
    get = getattr(napari.settings, "get_plugin_settings", None)
    if get is None:
        return None
    try:
        return get("promptile")
    except KeyError:  # the plugin is disabled, or its module is used without being installed
        return None
    except Exception as error:  # whatever a damaged file, also another plugin's, leads to
        text = " ".join(str(error).split())[:200]
        folder = os.path.dirname(str(napari.settings.get_settings().config_path))
        show_warning(f"Promptile's settings cannot be read, the defaults are used; check the files in {folder}: {text}")
        return None
