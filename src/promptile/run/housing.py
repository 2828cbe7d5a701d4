"""Where a run lives: where somebody said, or in a temporary folder that goes with it."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

from promptile.run.beginning import SUFFIX
from promptile.run.store import Run

R = TypeVar("R", bound=Run)


def housed(
    start: Callable[[str | os.PathLike[str]], R], out: str | os.PathLike[str] | None, image: Mapping[str, Any]
) -> R:
    """The run that `start` makes at a place; without `out`, in a temporary folder that goes with the returned object.

    The run remembers where the image is: `image` is what `promptile.open` needs to open it.
    """
    run = start(out or Path(tempfile.mkdtemp(prefix="promptile-")) / f"unnamed{SUFFIX}")
    if run.image != image:
        run.image = dict(image)
    if out is None:
        weakref.finalize(run, rmtree, os.path.dirname(run.path), ignore_errors=True)
    return run
