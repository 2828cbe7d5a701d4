"""Opening the run that a session works on."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

from promptile.run import SUFFIX, PromptedRun


def open_run(spec: Mapping[str, Any], place: Mapping[str, Any], out: str | os.PathLike[str] | None) -> PromptedRun:
    """A locked run of the image at `place`; without `out`, in a temporary folder that goes with the returned object."""
    run = PromptedRun.work_on(out or Path(tempfile.mkdtemp(prefix="promptile-")) / f"unnamed{SUFFIX}", spec)
    if run.image != place:
        run.image = dict(place)
    if out is None:
        weakref.finalize(run, rmtree, os.path.dirname(run.path), ignore_errors=True)
    return run
