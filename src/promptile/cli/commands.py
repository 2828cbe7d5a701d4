"""One function per command; each loads what it needs when it runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from promptile.cli.statuses import FAILED, OK
from promptile.cli.talk import print_facts, show_progress
from promptile.errors import PromptileError, RunError, UsageError

if TYPE_CHECKING:
    from promptile.engine.everything import Everything
    from promptile.grid import Grid
    from promptile.prompts import Prompts
    from promptile.prompts.marks import Kind
    from promptile.run import Run
    from promptile.sources import Source

_GRID = ("points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")
"""Options of the grid of points, by the names of its parameters."""

_FOR_EVERYTHING = ("keep", "levels", "aoi", "min_region", "scheduler", *_GRID)


def segment_image(options: argparse.Namespace) -> int:
    """Segment, write what was asked for, and report."""
    from promptile.engine.lattice import Tiling
    from promptile.segmentation import segment

    if not options.out and not options.run:
        raise UsageError("Nothing would be kept: say where to with --out FILE or --run DIR")
    source = _open(options)
    said = {kind: getattr(options, kind) for kind in ("points", "boxes", "prompts", "aoi")}
    used = {"image": options.image, "run": options.run, **{f"file of --{kind}": name for kind, name in said.items()}}
    _check_outs(options, source.grid, {what: name for what, name in used.items() if name is not None})
    prompts = None if options.everything else _prompts(options, source.grid)
    with show_progress(options) as progress:
        run = segment(
            source,
            prompts,
            everything=_everything(options, source.grid),
            model=options.model,
            out=options.run or _run_beside(options.out[0]),
            tiling=Tiling(options.tile, options.overlap),
            level=_level(options.level),
            channels=_channels(options.channels),
            window=options.window,
            skip_outside=options.skip_outside,
            restart=options.restart,
            workers=options.workers,
            scheduler=options.scheduler,
            progress=progress,
        )
        for path in options.out:
            progress(f"writing {Path(path).name}", 0, 1)
            run.write(path, overwrite=options.overwrite)
    return _report(options, run, options.out)


def _prompts(options: argparse.Namespace, grid: Grid) -> Prompts:
    from promptile.prompts.reading import read_prompts

    if unused := [name for name in _FOR_EVERYTHING if getattr(options, name)]:
        raise UsageError(
            f"--{unused[0].replace('_', '-')} means nothing for prompts: leave it out, or use --everything"
        )
    kind: Kind = "prompts" if options.prompts is not None else "boxes" if options.boxes is not None else "points"
    return read_prompts(getattr(options, kind), grid, kind=kind)


def _everything(options: argparse.Namespace, grid: Grid) -> Everything | bool:
    from promptile.engine.everything import Everything
    from promptile.engine.propose import GridParameters
    from promptile.prompts.area import Area

    if not options.everything:
        return False
    said = {name: getattr(options, name) for name in _GRID if getattr(options, name) is not None}
    return Everything(
        keep=options.keep or "best",
        levels=_levels(options.levels or "0"),
        area=None if options.aoi is None else Area.read(options.aoi, grid),
        min_region=options.min_region,
        grid=GridParameters(**said) if said else None,
    )


def _levels(text: str) -> list[int] | Literal["auto"]:
    if text == "auto":
        return "auto"
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--levels {text} is no list of levels: use auto, or numbers from 0 as in --levels 0,2,4")
    return [int(part) for part in parts]


def _check_outs(options: argparse.Namespace, grid: Grid, used: Mapping[str, str | Path]) -> None:
    """Refuse what cannot be written, and what would replace one of the things used, even with --overwrite."""
    from promptile import writers

    places: set[Path] = set()
    for out in options.out:
        path = Path(out).expanduser()
        for what, other in used.items():
            if _same(path, Path(other).expanduser()):
                raise UsageError(f"--out {out} is the {what} itself: choose another name")
        if path.resolve() in places:
            raise UsageError(f"--out {out} is given twice: leave one out")
        places.add(path.resolve())
        writers.check(path, grid, overwrite=options.overwrite)


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))


def _report(options: argparse.Namespace, run: Run, written: Sequence[str]) -> int:
    from promptile.report import describe_run

    facts = describe_run(run) | {"written": list(written)}
    if options.json:
        print(json.dumps(facts))
    else:
        open_ = f", {facts['open_edge']} with an open edge" if facts["open_edge"] else ""
        print(f"{facts['objects']} object{'s' * (facts['objects'] != 1)}{open_}")
        for path in [*written, run.path]:
            print(f"  {path}")
    for failure in run.failed:
        print(f"promptile: {failure} failed: {failure.error}", file=sys.stderr)
    if run.failed:
        what = f"{len(run.failed)} {run.failed[0].kind}s"
        print(f"promptile: {what} failed; the same command tries them again", file=sys.stderr)
    return FAILED if run.failed else OK


def export_run(options: argparse.Namespace) -> int:
    """Write the result of a run in other formats."""
    from promptile.run import Run

    run = Run.open(options.run)
    if run.waiting:
        raise RunError(f"{run.path} still waits for {run.waiting}: give its command again")
    if not run.finished:
        raise RunError(f"{run.path} was stopped before its labels were painted: give its command again")
    _check_outs(options, run.grid, {"run": run.path})
    for path in options.out:
        if _is_image_of(run, path):
            raise UsageError(f"--out {path} is the image of the run: choose another name")
    for path in options.out:
        run.write(path, overwrite=options.overwrite)
    return _report(options, run, options.out)


def _is_image_of(run: Run, path: str) -> bool:
    """Whether the image that a run was made from lies at `path`."""
    from promptile.sources import open_source

    if not Path(path).expanduser().exists():
        return False
    try:
        return bool(dict(open_source(path).identity) == run.spec["image"])
    except PromptileError:
        return False


def show_run(options: argparse.Namespace) -> int:
    """Draw a run over its image."""
    from promptile.pictures import draw
    from promptile.rendering import Rendering
    from promptile.run import Run

    run = Run.open(options.run)
    out = Path(options.out).expanduser()
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {options.out} is no picture: use a name that ends with .png")
    if out.exists() and not options.overwrite:
        raise UsageError(f"{out} exists: add --overwrite to replace it, or choose another name")
    source = _image_of(run, options.image)
    rendering = None if options.window is None else Rendering.of(source, window=options.window)
    print(draw(run, source, out, size=options.size, rendering=rendering))
    return OK


def _image_of(run: Run, path: str | None) -> Source:
    """The image that a run was made from, where it was or where the user says that it is."""
    from promptile.sources import open_source

    place = run.image if path is None else run.image | {"image": path}
    name = run.spec["image"].get("name", "its image")
    if not place or not Path(place["image"]).expanduser().exists():
        raise UsageError(f"{name} is not {'there' if not place else 'at ' + place['image']}: say where with --image")
    source = open_source(**place)
    if dict(source.identity) != run.spec["image"]:
        raise UsageError(f"{place['image']} is not what the run was made from, {name}: say where that is with --image")
    return source


def show_info(options: argparse.Namespace) -> int:
    """Print what an image or a run is."""
    from promptile.report import describe_image, describe_run
    from promptile.run import Run

    path = Path(options.path)
    is_run = (path / "prompts.json").is_file() or (path / "commits").is_dir()
    options.image = options.path
    facts = describe_run(Run.open(path)) if is_run else describe_image(_open(options))
    print_facts(facts, options)
    return OK


def show_models(options: argparse.Namespace) -> int:
    """List the models, or show one."""
    from promptile import models
    from promptile.report import describe_model

    if options.action == "list":
        names = models.names()
        print(json.dumps(names) if options.json else "\n".join(names))
        return OK
    if not options.name:
        raise UsageError(f"Which model? promptile models show NAME; installed: {', '.join(models.names())}")
    print_facts(describe_model(options.name), options)
    return OK


def compare_results(options: argparse.Namespace) -> int:
    """Print how a result differs from the truth."""
    from promptile.compare import compare

    comparison = compare(options.result, options.truth)
    print(json.dumps(comparison.to_json()) if options.json else comparison.to_text())
    return OK


def run_demo(options: argparse.Namespace) -> int:
    """Segment the samples; print what was written."""
    from promptile.demo import demo

    for path in demo(options.folder, say=lambda text: print(text, file=sys.stderr)):
        print(path)
    return OK


def _open(options: argparse.Namespace) -> Source:
    from promptile.sources import open_source

    return open_source(options.image, time=options.time, series=options.series)


def _run_beside(path: str) -> Path:
    from promptile.run import SUFFIX
    from promptile.writers import SUFFIXES

    target = Path(path)
    suffix = max((s for s in SUFFIXES if target.name.lower().endswith(s)), key=len)
    return target.with_name(target.name[: -len(suffix)] + SUFFIX)


def _level(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"--level {text} is no level: use auto, or a whole number from 0")
    return int(text)


def _channels(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--channels {text} is no list of channels: use numbers from 1, as in --channels 4,3,2")
    return [int(part) - 1 for part in parts]
