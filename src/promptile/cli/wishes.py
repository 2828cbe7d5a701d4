"""What was typed, as what the library takes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

from promptile.errors import UsageError

if TYPE_CHECKING:
    from promptile.engine.everything import Everything
    from promptile.engine.slices import Slices
    from promptile.grid import Grid
    from promptile.models.protocols import Model
    from promptile.prompts import Prompts
    from promptile.prompts.marks import Kind

_GRID = ("points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")
"""Options of the grid of points, by the names of its parameters."""

_FOR_TEXT = ("levels", "aoi", "workers", "scheduler")

_FOR_EVERYTHING = ("keep", "min_region", *_GRID, *_FOR_TEXT)


def model_of(options: argparse.Namespace, ndim: int) -> str | Model:
    """The model that was named, loaded if more than its name was said."""
    from promptile import models

    said = {name: getattr(options, name) for name in ("weights", "device", "runtime", "precision")}
    if not any(said.values()):
        return str(options.model)
    ndim = 2 if slices_of(options) else ndim
    return models.load(options.model, ndim, **said)


def slices_of(options: argparse.Namespace) -> Slices | None:
    """How a volume is asked about slice by slice; None if nothing was said about it."""
    from promptile.engine.slices import Slices

    memory = getattr(options, "memory", False)  # other commands than `segment` follow nothing
    if options.axis is None and options.planes is None and not memory:
        return None
    axis: int | Literal["auto"] = "auto" if options.axis in (None, "auto") else int(options.axis)
    return Slices(axis, int(options.planes or 1), memory=memory)


def prompts_of(options: argparse.Namespace, grid: Grid) -> Prompts | None:
    """The prompts of the file that was given; None if there is none."""
    from promptile.prompts.reading import read_prompts

    if options.everything:
        return None
    refused = [name for name in _FOR_EVERYTHING if not (options.text and name in _FOR_TEXT)]
    if unused := [name for name in refused if getattr(options, name)]:
        what = "texts" if options.text else "prompts"
        raise UsageError(f"--{unused[0].replace('_', '-')} means nothing for {what}: leave it out, or use --everything")
    if options.text and options.points is options.boxes is options.prompts is None:
        return None
    kind: Kind = "prompts" if options.prompts is not None else "boxes" if options.boxes is not None else "points"
    return read_prompts(getattr(options, kind), grid, kind=kind, denying=bool(options.text))


def everything_of(options: argparse.Namespace, grid: Grid) -> Everything | bool:
    """What is wanted of everything; False if prompts are given."""
    from promptile.engine.everything import Everything
    from promptile.engine.propose import GridParameters
    from promptile.prompts.area import Area

    if not options.everything:
        return False
    if options.level != "auto":
        raise UsageError(f"--level {options.level} is where points are asked: for everything, use --levels")
    if options.skip_outside:
        raise UsageError("--skip-outside means nothing for everything: leave it out, and say where with --aoi")
    said = {name: getattr(options, name) for name in _GRID if getattr(options, name) is not None}
    return Everything(
        keep=options.keep or "best",
        levels=levels_of(options.levels or "0"),
        area=None if options.aoi is None else Area.read(options.aoi, grid),
        min_region=options.min_region,
        grid=GridParameters(**said) if said else None,
    )


def levels_of(text: str) -> list[int] | Literal["auto"]:
    """The levels at which everything is looked for."""
    if text == "auto":
        return "auto"
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--levels {text} is no list of levels: use auto, or numbers from 0 as in --levels 0,2,4")
    return [int(part) for part in parts]


def level_of(text: str) -> int | None:
    """The level at which points are asked."""
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"--level {text} is no level: use auto, or a whole number from 0")
    return int(text)


def channels_of(text: str | None) -> list[int] | None:
    """Channels from 0; people count from 1."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--channels {text} is no list of channels: use numbers from 1, as in --channels 4,3,2")
    return [int(part) - 1 for part in parts]
