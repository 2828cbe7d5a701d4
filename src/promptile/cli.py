"""The command line: argument parsing; each command is a call into the library.

Results go to stdout, progress and errors to stderr. Exit status: 0 done; 1 an error, said in one line with its
cure; 2 wrong usage; 3 finished, but some objects failed; 130 interrupted, the run can be continued.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from promptile import __version__
from promptile.errors import PromptileError, UsageError

if TYPE_CHECKING:
    from promptile.prompts.marks import Kind
    from promptile.run import Run
    from promptile.segmentation import Progress
    from promptile.sources import Source

OK, ERROR, USAGE, FAILED_OBJECTS, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(format="promptile: %(message)s", level=logging.WARNING)
    logging.getLogger("promptile").setLevel(logging.ERROR if getattr(options, "quiet", False) else logging.INFO)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, USAGE)
    except PromptileError as error:
        return _complain(error, ERROR)
    except BrokenPipeError:  # the reader of our output has gone, as in `promptile info x | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except OSError as error:
        return _complain(f"{error.strerror or error}: {error.filename or 'the disk'}", ERROR)
    except MemoryError:
        return _complain("Not enough memory: use a smaller --tile", ERROR)
    except KeyboardInterrupt:
        return _complain("Interrupted; the same command continues", INTERRUPTED)
    return status


def _complain(error: object, status: int) -> int:
    print(f"promptile: {' '.join(str(error).split())}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="promptile",
        description="Segment images that are too big for a model: GeoTIFF scenes and 3D medical volumes.",
        epilog="Try it: promptile demo",
    )
    parser.add_argument("--version", action="version", version=f"promptile {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_segment, _add_export, _add_info, _add_models, _add_compare, _add_demo):
        add(commands)
    return parser


def _add(commands: Any, name: str, command: Any, summary: str, example: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"Example: {example}" if example else None,
    )
    parser.set_defaults(command=command)
    return parser


def _add_segment(commands: Any) -> None:
    parser = _add(
        commands,
        "segment",
        _segment,
        "segment objects from points, boxes or polygons",
        "promptile segment scene.tif --boxes boxes.geojson --out objects.gpkg --out labels.tif",
    )
    parser.add_argument("image", metavar="IMAGE", help="GeoTIFF, NIfTI, NRRD, MHA, DICOM folder, Zarr, ...")
    prompts = parser.add_mutually_exclusive_group(required=True)
    prompts.add_argument("--points", metavar="F", help="clicks: one object per positive point, or as `object` says")
    prompts.add_argument("--boxes", metavar="F", help="boxes: one object per polygon's bounds")
    prompts.add_argument("--prompts", metavar="F", help="points, boxes and polygons, grouped by `object`")
    out = parser.add_argument_group("result")
    _add_out(out)
    out.add_argument("--run", metavar="DIR", help="where the run is kept (default: beside the first --out)")
    out.add_argument("--restart", action="store_true", help="throw the kept run away and begin again")
    how = parser.add_argument_group("how")
    how.add_argument("--model", default="basin", metavar="NAME", help="see `promptile models` (default: basin)")
    how.add_argument("--level", default="auto", metavar="auto|N", help="resolution at which points are asked, 0 = full")
    how.add_argument("--tile", type=int, metavar="N", help="side of a tile (default: 1024, in volumes 128)")
    how.add_argument("--overlap", type=int, metavar="N", help="what tiles share (default: half a tile)")
    how.add_argument("--channels", metavar="4,3,2", help="channels that the model sees, from 1")
    how.add_argument(
        "--window", default="auto", metavar="soft|LOW,HIGH|auto", help="intensity range; also lung, bone, brain"
    )
    how.add_argument("--skip-outside", action="store_true", help="leave out prompts that lie outside the image")
    _add_image_choice(how)
    _add_talk(parser, progress=True)


def _add_out(parser: Any, *, required: bool = False) -> None:
    parser.add_argument(
        "--out",
        "-o",
        action="append",
        default=[],
        required=required,
        metavar="FILE",
        help="write FILE; may be given several times; its suffix says how: .gpkg .geojson .fgb .parquet .shp .tif "
        ".nii .nii.gz .nrrd .mha .zarr",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def _add_image_choice(parser: Any) -> None:
    parser.add_argument("--time", type=int, metavar="N", help="time point of a 4D image, from 0")
    parser.add_argument("--series", metavar="UID|N", help="series of a DICOM folder")


def _add_talk(parser: argparse.ArgumentParser, *, progress: bool = False) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    if progress:
        parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def _segment(options: argparse.Namespace) -> int:
    from promptile import writers
    from promptile.engine.lattice import Tiling
    from promptile.prompts.reading import read_prompts
    from promptile.segmentation import segment

    if not options.out and not options.run:
        raise UsageError("Nothing would be kept: say where to with --out FILE or --run DIR")
    source = _open(options)
    for path in options.out:
        writers.check(path, source.grid, overwrite=options.overwrite)
        if Path(path).exists() and Path(path).samefile(options.image):
            raise UsageError(f"--out {path} is the image itself: choose another name")
    kind: Kind = "points" if options.points else "boxes" if options.boxes else "prompts"
    prompts = read_prompts(options.points or options.boxes or options.prompts, source.grid, kind=kind)
    with _progress(options) as progress:
        run = segment(
            source,
            prompts,
            model=options.model,
            out=options.run or _run_beside(options.out[0]),
            tiling=Tiling(options.tile, options.overlap),
            level=_level(options.level),
            channels=_channels(options.channels),
            window=options.window,
            skip_outside=options.skip_outside,
            restart=options.restart,
            progress=progress,
        )
        for path in options.out:
            progress(f"writing {Path(path).name}", 0, 1)
            run.write(path, overwrite=options.overwrite)
    return _report(options, run, options.out)


def _report(options: argparse.Namespace, run: Run, written: Sequence[str]) -> int:
    from promptile.report import describe_run

    facts = describe_run(run) | {"written": list(written)}
    if options.json:
        print(json.dumps(facts))
    else:
        open_ = f", {facts['open_edge']} with an open edge" if facts["open_edge"] else ""
        print(f"{facts['objects']} objects{open_}")
        for path in [*written, run.path]:
            print(f"  {path}")
    for failure in facts["failed"]:
        print(f"promptile: object {failure['id']} failed: {failure['error']}", file=sys.stderr)
    if facts["failed"]:
        print(f"promptile: {len(facts['failed'])} objects failed; the same command tries them again", file=sys.stderr)
    return FAILED_OBJECTS if facts["failed"] else OK


def _add_export(commands: Any) -> None:
    parser = _add(
        commands, "export", _export, "write the result of a run again", "promptile export scene.run.zarr -o objects.fgb"
    )
    parser.add_argument("run", metavar="RUN", help="a folder NAME.run.zarr")
    _add_out(parser, required=True)
    _add_talk(parser)


def _export(options: argparse.Namespace) -> int:
    from promptile import writers
    from promptile.run import Run

    run = Run.open(options.run)
    for path in options.out:
        writers.check(path, run.grid, overwrite=options.overwrite)
    for path in options.out:
        run.write(path, overwrite=options.overwrite)
    return _report(options, run, options.out)


def _add_info(commands: Any) -> None:
    parser = _add(commands, "info", _info, "say what an image or a run is", "promptile info scene.tif")
    parser.add_argument("path", metavar="IMAGE|RUN")
    _add_image_choice(parser)
    _add_talk(parser)


def _info(options: argparse.Namespace) -> int:
    from promptile.report import describe_image, describe_run
    from promptile.run import Run

    path = Path(options.path)
    is_run = (path / "prompts.json").is_file()
    options.image = options.path
    facts = describe_run(Run.open(path)) if is_run else describe_image(_open(options))
    _print_facts(facts, options)
    return OK


def _add_models(commands: Any) -> None:
    parser = _add(commands, "models", _models, "list the models, or show one", "promptile models show basin")
    parser.add_argument("action", nargs="?", choices=["list", "show"], default="list")
    parser.add_argument("name", nargs="?", metavar="NAME")
    _add_talk(parser)


def _models(options: argparse.Namespace) -> int:
    from promptile import models
    from promptile.report import describe_model

    if options.action == "list":
        names = models.names()
        print(json.dumps(names) if options.json else "\n".join(names))
        return OK
    if not options.name:
        raise UsageError(f"Which model? promptile models show NAME; installed: {', '.join(models.names())}")
    _print_facts(describe_model(options.name), options)
    return OK


def _add_compare(commands: Any) -> None:
    parser = _add(
        commands, "compare", _compare, "measure a result against the truth", "promptile compare objects.gpkg truth.gpkg"
    )
    parser.add_argument("result", metavar="RESULT", help="labels, vectors or a run")
    parser.add_argument("truth", metavar="TRUTH", help="labels or vectors")
    _add_talk(parser)


def _compare(options: argparse.Namespace) -> int:
    from promptile.compare import compare

    comparison = compare(options.result, options.truth)
    print(json.dumps(comparison.to_json()) if options.json else comparison.to_text())
    return OK


def _add_demo(commands: Any) -> None:
    parser = _add(commands, "demo", _demo, "segment the sample scene and the sample volume", "promptile demo demo")
    parser.add_argument("folder", nargs="?", default="promptile-demo", metavar="FOLDER")


def _demo(options: argparse.Namespace) -> int:
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


def _print_facts(facts: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {_in_words(value)}")


def _in_words(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return ", ".join("×".join(map(str, inner)) for inner in value)
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    if isinstance(value, float):
        return f"{value:.9g}"
    return "none" if value is None or value == "" else str(value)


@contextlib.contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Progress]:
    """A progress bar on stderr, or silence."""
    if options.quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main())
