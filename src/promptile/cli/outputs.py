"""What a command writes and says at its end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptile.cli.statuses import FAILED, OK
from promptile.counts import counted
from promptile.errors import UsageError

if TYPE_CHECKING:
    from promptile.engine.progress import Progress
    from promptile.grid import Grid
    from promptile.run import Run
    from promptile.vectors import Shaping
    from promptile.writers import Cleaning
    from promptile.writers.cleaning import OnOverlap


def check_outs(
    options: argparse.Namespace, grid: Grid, used: Mapping[str, str | Path], image: Mapping[str, Any]
) -> None:
    """Refuse what cannot be written, and what would replace one of the things used, even with --overwrite.

    `image` is what opens the image again: DICOM results refer to it.
    """
    from promptile import writers
    from promptile.writers.placing import sidecars

    cleaning_of(options, grid)
    places: set[Path] = set()
    for out in options.out:
        path = Path(out).expanduser()
        for made in (path, *sidecars(path)):
            beside = "" if made is path else f" writes {made.name} beside it, which"
            for what, other in used.items():
                if _same(made, Path(other).expanduser()):
                    raise UsageError(f"--out {out}{beside} is the {what} itself: choose another name")
            if made.resolve() in places:
                cure = "choose another name" if beside else "leave one out"
                raise UsageError(f"--out {out}{beside} is given twice: {cure}")
            places.add(made.resolve())
        writers.check(path, grid, options.overwrite, _shaping_for(path, options))
        writers.check_image(path, grid, image)
    if (
        grid.ndim == 2
        and options.out
        and not _shaping(options).plain
        and not any(writers.is_vector(out) for out in options.out)
    ):
        raise UsageError(
            "Outlines are only shaped in vector files: add an --out with .gpkg, .geojson, .fgb, .parquet or .shp"
        )


def cleaning_of(options: argparse.Namespace, grid: Grid) -> Cleaning:
    """What becomes of samples: in volumes holes are filled there, in images in their outlines."""
    from promptile.writers import Cleaning

    overlap: OnOverlap = options.on_overlap or "score"
    if grid.ndim == 3:
        others = [name for name in ("simplify", "smooth", "min_area", "regularize") if getattr(options, name)]
        if others:
            raise UsageError(
                f"--{others[0].replace('_', '-')} shapes outlines, and a volume has none: leave it out; samples are"
                " shaped by --fill-holes and --remove-islands"
            )
        return Cleaning(overlap, options.fill_holes, options.remove_islands)
    if options.remove_islands:
        raise UsageError("--remove-islands is for volumes: use --min-area, which leaves out small objects")
    return Cleaning(overlap)


def _shaping(options: argparse.Namespace) -> Shaping:
    from promptile.vectors import Shaping

    return Shaping(**{name: getattr(options, name) for name in Shaping.__dataclass_fields__})


def _shaping_for(path: str | Path, options: argparse.Namespace) -> Shaping:
    """What becomes of outlines in a file: labels written beside stay exact."""
    from promptile import writers

    return _shaping(options) if writers.is_vector(path) else writers.EXACT


def write_outs(options: argparse.Namespace, run: Run, progress: Progress | None = None) -> None:
    """Write the result to every `--out`."""
    from promptile import writers

    for path in options.out:
        if progress is not None:
            progress(f"writing {Path(path).name}", 0, 1)
        shaping, cleaning = _shaping_for(path, options), cleaning_of(options, run.grid)
        writers.write(run, path, overwrite=options.overwrite, shaping=shaping, cleaning=cleaning)


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))


def report(options: argparse.Namespace, run: Run, written: Sequence[str]) -> int:
    """Say what was found, written and what failed; the exit status."""
    from promptile.report import describe_run

    facts = describe_run(run) | {"written": list(written)}
    if options.json:
        print(json.dumps(facts))
    else:
        open_ = f", {facts['open_edge']} with an open edge" if facts["open_edge"] else ""
        print(f"{counted(facts['objects'], 'object')}{open_}")
        for path in [*written, run.path]:
            print(f"  {path}")
    if doubts := _doubts(run):
        print(f"promptile: {doubts}", file=sys.stderr)
    for failure in run.failed:
        print(f"promptile: {failure} failed: {failure.error}", file=sys.stderr)
    if run.failed:
        what = counted(len(run.failed), run.failed[0].kind)
        print(f"promptile: {what} failed; the same command tries again", file=sys.stderr)
    return FAILED if run.failed else OK


def _doubts(run: Run) -> str:
    """What is to be said of objects that may be something else; empty if there are none."""
    from promptile.engine.doubts import doubt_of

    table = run.table
    if "score" not in table:
        return ""
    asked = zip(table["id"], table["prompt"], table["score"], strict=True)
    doubts = {i: doubt for i, kind, score in asked if (doubt := doubt_of(run.spec, kind, score))}
    if not doubts:
        return ""
    ids = ", ".join(map(str, list(doubts)[:8]))
    return f"object{'s' * (len(doubts) > 1)} {ids} {next(iter(doubts.values()))} (--level 1, 2, ...)"


def run_beside(path: str) -> Path:
    """Where the run is kept if nobody says: beside its first result."""
    from promptile.run import SUFFIX
    from promptile.writers import SUFFIXES

    target = Path(path)
    suffix = max((s for s in SUFFIXES if target.name.lower().endswith(s)), key=len)
    return target.with_name(target.name[: -len(suffix)] + SUFFIX)
