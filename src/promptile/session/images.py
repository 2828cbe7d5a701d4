"""The image of a run: whether this is it, and where it is now."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptile.errors import RunError
from promptile.grid import Grid
from promptile.run import Run
from promptile.sources import open_source
from promptile.sources.protocol import Source


def is_of(run: Run, identity: Mapping[str, Any], grid: Grid) -> bool:
    """Whether a run is of an image, whatever that is called by now."""
    there, here = (
        {k: v for k, v in json.loads(json.dumps(dict(i))).items() if k != "name"} for i in (run.spec["image"], identity)
    )
    return there == here and run.grid == grid


def check_same_image(run: Run, mine: Run) -> None:
    """Raise RunError if two runs are of different images."""
    if not is_of(run, mine.spec["image"], mine.grid):
        raise RunError(f"{run.name} is of another image than {mine.name}: open that image to work on it")


def image_of(run: Run, image: Any = None) -> Source:
    """The image that a run was made from, where it was or where it is now.

    Parameters
    ----------
    run : Run
    image : Source, path or array, optional
        If it is not where it was. Of several images in one file, the one that was used is opened.

    Raises
    ------
    RunError
        If it is not there, or another one.
    """
    name = run.spec["image"].get("name", "its image")
    if image is None or isinstance(image, str | os.PathLike):
        place = run.image | ({} if image is None else {"image": os.fspath(image)})
        there = place.get("image")
        if there is None or not ("://" in there or Path(there).expanduser().exists()):
            where = f"at {there}" if there else "known"
            raise RunError(f"The image of {run.name}, {name}, is not {where}: say where it is with --image")
        source = open_source(**place)
    else:
        source = open_source(image)
    if not is_of(run, source.identity, source.grid):
        raise RunError(f"{source.name} is not what {run.name} was made from, {name}: say where that is with --image")
    return source
