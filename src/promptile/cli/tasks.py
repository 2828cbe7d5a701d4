"""What else than objects is wanted of an image: edges, proposals."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from promptile.cli.statuses import OK
from promptile.cli.talk import show_progress
from promptile.cli.wishes import channels_of, model_of, slices_of
from promptile.errors import UsageError

OBJECTS = "objects"
_REFUSED = (
    "points",
    "boxes",
    "prompts",
    "everything",
    "text",
    "run",
    "restart",
    "level",
    "planes",
    "memory",
    "skip_outside",
    "on_overlap",
    "via",
    "detector",
    "detector_weights",
    "box_threshold",
    "text_threshold",
    "ranker",
    "ranker_weights",
    "threshold",
    "background",
    "keep",
    "levels",
    "aoi",
    "min_region",
    "scheduler",
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "simplify",
    "smooth",
    "min_area",
    "fill_holes",
    "remove_islands",
    "regularize",
)
_UNSAID: tuple[Any, ...] = (None, False, 0, [], "auto", "detector")
"""What options are that nobody has given."""


def add_task(parser: Any) -> None:
    """The option that says what is wanted."""
    parser.add_argument(
        "--task",
        choices=[OBJECTS, "edges", "proposals"],
        default=OBJECTS,
        help="objects, or without any prompt: how strong edges are, a ranked table of masks (default: objects)",
    )
    parser.add_argument("--slice", type=int, metavar="N", help="edges and proposals: which slice of a volume, from 0")


def run_task(options: argparse.Namespace) -> int:
    """Write what is wanted, and where."""
    from promptile.engine.lattice import Tiling
    from promptile.sources import open_source
    from promptile.tasks import edges, proposals

    if options.task == OBJECTS:
        raise UsageError("--slice is for --task edges and --task proposals: leave it out; objects go through slices")
    path = _target(options)
    source = open_source(options.image, time=options.time, series=options.series, resample=options.resample)
    task = edges if options.task == "edges" else proposals
    with show_progress(options) as progress:
        written = task(
            source,
            path,
            model_of(options, 2),
            asked=_asked(options),
            plane=options.slice,
            slices=slices_of(options),
            workers=options.workers or 1,
            progress=progress,
            tiling=Tiling(options.tile, options.overlap),
            channels=channels_of(options.channels),
            window=options.window,
        )
    print(json.dumps({"task": options.task, "out": str(written)}) if options.json else written)
    return OK


def _target(options: argparse.Namespace) -> Path:
    """The one file to write."""
    if unused := [name for name in _REFUSED if getattr(options, name) not in _UNSAID]:
        raise UsageError(f"--{unused[0].replace('_', '-')} means nothing for --task {options.task}: leave it out")
    if len(options.out) != 1:
        suffix = {"edges": ".tif", "proposals": ".parquet"}[options.task]
        raise UsageError(f"--task {options.task} writes one file: give one --out NAME{suffix}")
    path = Path(options.out[0]).expanduser()
    if path.is_dir():
        raise UsageError(f"{path} is a folder and is not replaced: choose another name")
    if path.exists() and not options.overwrite:
        raise UsageError(f"{path} exists: add --overwrite to replace it, or choose another name")
    if path.exists() and Path(options.image).expanduser().exists() and path.samefile(Path(options.image).expanduser()):
        raise UsageError(f"--out {path} is the image: choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}: make it, or choose another name for --out")
    return path


def _asked(options: argparse.Namespace) -> Any:
    from promptile.engine.tasks import Edges, Ranked

    names = ("points_per_side", "box_nms_thresh")
    said = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return Edges(**said) if options.task == "edges" else Ranked(**said)
