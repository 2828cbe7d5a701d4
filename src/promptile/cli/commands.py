"""One function per command; each loads what it needs when it runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from promptile.cli.outputs import check_outs, report, run_beside, write_outs
from promptile.cli.searching import check_asked, detector_of, judge_of, text_of
from promptile.cli.statuses import OK
from promptile.cli.talk import print_facts, show_progress
from promptile.cli.tasks import OBJECTS, run_task
from promptile.cli.wishes import channels_of, everything_of, level_of, model_of, prompts_of, slices_of
from promptile.errors import PromptileError, RunError, UsageError

if TYPE_CHECKING:
    from promptile.run import Run
    from promptile.sources import Source

LARGEST_PICTURE = 20_000
"""Samples along a side; what is larger is meant for a viewer of the image itself."""


def segment_image(options: argparse.Namespace) -> int:
    """Segment, write what was asked for, and report."""
    from promptile.engine.lattice import Tiling
    from promptile.segmentation import segment

    if options.task != OBJECTS or options.slice is not None:
        return run_task(options)
    check_asked(options)
    if not options.out and not options.run:
        raise UsageError("Nothing would be kept: say where to with --out FILE or --run DIR")
    source = _open(options)
    said = {kind: getattr(options, kind) for kind in ("points", "boxes", "prompts", "aoi")}
    used = {"image": options.image, "run": options.run, **{f"file of --{kind}": name for kind, name in said.items()}}
    there = {what: name for what, name in used.items() if name is not None}
    check_outs(options, source.grid, there, getattr(source, "place", {}))
    prompts = prompts_of(options, source.grid)
    with show_progress(options) as progress:
        run = segment(
            source,
            prompts,
            everything=everything_of(options, source.grid),
            text=text_of(options, source.grid),
            detector=detector_of(options),
            ranker=judge_of(options),
            model=model_of(options, source.grid.ndim),
            out=options.run or run_beside(options.out[0]),
            tiling=Tiling(options.tile, options.overlap),
            level=level_of(options.level),
            channels=channels_of(options.channels),
            window=options.window,
            slices=slices_of(options),
            skip_outside=options.skip_outside,
            restart=options.restart,
            workers=1 if options.workers is None else options.workers,
            scheduler=options.scheduler,
            progress=progress,
        )
        write_outs(options, run, progress)
    return report(options, run, options.out)


def export_run(options: argparse.Namespace) -> int:
    """Write the result of a run in other formats."""
    from promptile.run import Run

    run = Run.open(options.run)
    if run.waiting:
        raise RunError(f"{run.path} still waits for {run.waiting}: give its command again")
    if not run.finished:
        raise RunError(f"{run.path} was stopped before its labels were painted: give its command again")
    check_outs(options, run.grid, {"run": run.path}, run.image)
    for path in options.out:
        if _is_image_of(run, path):
            raise UsageError(f"--out {path} is the image of the run: choose another name")
    write_outs(options, run)
    return report(options, run, options.out)


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

    if not 1 <= options.size <= LARGEST_PICTURE:
        raise UsageError(f"--size {options.size} is no picture: use 1 to {LARGEST_PICTURE}")
    run = Run.open(options.run)
    out = Path(options.out).expanduser()
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {options.out} is no picture: use a name that ends with .png")
    if out.exists() and not options.overwrite:
        raise UsageError(f"{out} exists: add --overwrite to replace it, or choose another name")
    source = image_of(run, options.image)
    rendering = None
    if options.window is not None:
        channels = Rendering.from_json(run.spec["rendering"]).channels
        rendering = Rendering.of(source, channels=channels, window=options.window)
    if not run.finished:
        print(f"promptile: {run.name} is not finished: its labels may not be all there", file=sys.stderr)
    print(draw(run, source, out, size=options.size, rendering=rendering))
    return OK


def image_of(run: Run, path: str | None) -> Source:
    """The image that a run was made from, where it was or where the user says that it is."""
    from promptile.session import images

    try:
        return images.image_of(run, path)
    except RunError as error:
        raise UsageError(str(error)) from error


def show_info(options: argparse.Namespace) -> int:
    """Print what an image or a run is."""
    from promptile.report import describe_image, describe_run
    from promptile.run import Run

    path = Path(options.path)
    is_run = "://" in options.path or (path / "prompts.json").is_file() or (path / "commits").is_dir()
    options.image = options.path
    facts = describe_run(Run.open(options.path)) if is_run else describe_image(_open(options))
    print_facts(facts, options)
    return OK


def compare_results(options: argparse.Namespace) -> int:
    """Print how a result differs from the truth."""
    from promptile.compare import compare

    comparison = compare(options.result, options.truth, tolerance_mm=options.tolerance)
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

    return open_source(options.image, time=options.time, series=options.series, resample=options.resample)
