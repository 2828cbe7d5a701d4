"""Models by name: entry points of the group ``promptile.models``, ours and third parties' alike.

An entry point names a function ``load(ndim: int) -> Model``; `ndim` is 2 for images, 3 for volumes.
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from promptile.errors import ModelError
from promptile.models.protocols import Model

GROUP = "promptile.models"


def names() -> list[str]:
    """The names of all models that are installed."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load(name: str, ndim: int) -> Model:
    """The model of that name, ready for images (`ndim` 2) or volumes (3).

    Raises
    ------
    ModelError
        If no such model is installed, or it cannot be loaded.
    """
    point = _find(name)
    try:
        provider = point.load()
    except ImportError as error:
        raise ModelError(
            f"Model {name!r} needs a package that is not installed ({error}): install its extra and try again"
        ) from error
    return cast("Model", provider(ndim))


def _find(name: str) -> EntryPoint:
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if found:
        return found[0]
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ModelError(f"No model is called {name!r}; {hint}installed: {', '.join(names()) or 'none'}")
