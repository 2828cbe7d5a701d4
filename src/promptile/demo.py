"""The demo: both sample images, from prompts to files and pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from promptile.errors import OutputError
from promptile.pictures import draw
from promptile.prompts.reading import read_prompts
from promptile.run import SUFFIX
from promptile.samples import sample
from promptile.segmentation import segment
from promptile.sources import open_source


@dataclass(frozen=True)
class Task:
    """One image of the demo and what becomes of it."""

    image: str
    prompts: str
    """A prompt file; empty: everything."""
    results: tuple[str, ...]
    window: str = "auto"


TASKS = (
    Task("scene.tif", "scene_boxes.geojson", ("fields.gpkg", "fields.tif")),
    Task("scene.tif", "scene_points.csv", ("water.gpkg", "water.tif")),
    Task("scene.tif", "", ("everything.gpkg", "everything.tif")),
    Task("volume.nii.gz", "volume_points.mrk.json", ("organs.nii.gz",), "soft"),
)


def demo(folder: str | os.PathLike[str], *, say: Callable[[str], None] = print) -> list[Path]:
    """Segment the sample scene and the sample volume into `folder`; the files written.

    Raises
    ------
    OutputError
        If `folder` is a file.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file: name another folder, as in promptile demo FOLDER")
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for task in TASKS:
        say(f"{task.image} with {task.prompts or 'nothing: everything in it'}")
        source = open_source(sample(task.image))
        prompts = read_prompts(sample(task.prompts), source.grid) if task.prompts else None
        place = target / f"{task.results[0].split('.')[0]}.run.zarr"
        run = segment(source, prompts, everything=not prompts, out=place, window=task.window, restart=True)
        written += [run.write(target / result, overwrite=True) for result in task.results]
        written.append(draw(run, source, place.with_name(run.name.replace(SUFFIX, ".png")), prompts=prompts))
    return written
