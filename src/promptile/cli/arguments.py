"""What can be typed: a parser for each command, of `options` that it shares with others."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from promptile import __version__
from promptile.cli import caching, modelling, options
from promptile.cli import commands as do
from promptile.cli.classifying import add_ranking, classify_run
from promptile.cli.measuring import measure_objects
from promptile.cli.replaying import replay_run
from promptile.cli.searching import add_text
from promptile.cli.statuses import USAGE
from promptile.cli.tasks import add_task


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line; a parsed command has its function in `command`."""
    parser = _Parser(
        prog="promptile",
        description="Segment images that are too big for a model: GeoTIFF scenes and 3D medical volumes.",
        epilog="Try it: promptile demo",
    )
    parser.add_argument("--version", action="version", version=f"promptile {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_segment, _add_export, _add_show, _add_info, _add_models, _add_embed, _add_cache, _add_compare,
        _add_measure, _add_classify, _add_replay, _add_demo,
    ):  # fmt: skip
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
        do.segment_image,
        "segment objects from points, boxes, polygons or texts, or everything",
        "promptile segment scene.tif --boxes boxes.geojson --out objects.gpkg --out labels.tif",
    )
    parser.add_argument("image", metavar="IMAGE", help="GeoTIFF, NIfTI, NRRD, MHA, DICOM folder, Zarr, ...")
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--points", metavar="F", help="clicks: one object per positive point, or as `object` says")
    prompts.add_argument("--boxes", metavar="F", help="boxes: one object per polygon's bounds")
    prompts.add_argument("--prompts", metavar="F", help="points, boxes and polygons, grouped by `object`")
    prompts.add_argument("--everything", action="store_true", help="all objects, wherever they are")
    parser.add_argument("--text", action="append", default=[], metavar="T", help="objects by name; several times")
    add_task(parser)
    out = parser.add_argument_group("result")
    options.add_out(out)
    out.add_argument("--run", metavar="DIR", help="where the run is kept (default: beside the first --out)")
    out.add_argument("--restart", action="store_true", help="throw the kept run away and begin again")
    how = parser.add_argument_group("how")
    how.add_argument("--model", default="basin", metavar="NAME", help="see `promptile models` (default: basin)")
    options.add_loading(how)
    how.add_argument("--level", default="auto", metavar="auto|N", help="resolution at which points are asked, 0 = full")
    options.add_view(how, "half a tile; for everything an eighth")
    how.add_argument("--memory", action="store_true", help="slice by slice, by the model's own memory (SAM 2)")
    how.add_argument("--skip-outside", action="store_true", help="leave out prompts that lie outside the image")
    options.add_image_choice(how)
    add_text(parser.add_argument_group("texts"))
    options.add_everything(parser.add_argument_group("everything, and texts where it says so"))
    options.add_shaping(parser.add_argument_group("outlines in vector files"))
    options.add_talk(parser, progress=True)


def _add_export(commands: Any) -> None:
    parser = _add(
        commands,
        "export",
        do.export_run,
        "write the result of a run again",
        "promptile export scene.run.zarr -o objects.fgb",
    )
    options.add_run(parser)
    options.add_out(parser, required=True)
    options.add_shaping(parser.add_argument_group("outlines in vector files"))
    options.add_talk(parser)


def _add_show(commands: Any) -> None:
    parser = _add(
        commands, "show", do.show_run, "draw a run over its image", "promptile show scene.run.zarr --out preview.png"
    )
    options.add_run(parser)
    parser.add_argument("--out", "-o", required=True, metavar="PNG", help="the picture to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--size", type=int, default=1200, metavar="N", help="longest side in pixels (default: 1200)")
    options.add_run_image(parser)
    parser.add_argument("--window", metavar="soft|LOW,HIGH|auto", help="intensity range (default: that of the run)")


def _add_info(commands: Any) -> None:
    parser = _add(commands, "info", do.show_info, "say what an image or a run is", "promptile info scene.tif")
    parser.add_argument("path", metavar="IMAGE|RUN")
    options.add_image_choice(parser)
    options.add_talk(parser)


def _add_models(commands: Any) -> None:
    summary, example = "list the models, show one, fetch its weights", "promptile models fetch mobile-sam"
    parser = _add(commands, "models", modelling.show_models, summary, example)
    parser.add_argument("action", nargs="?", choices=["list", "show", "fetch"], default="list")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--from", dest="file", metavar="FILE", help="fetch: copy the weights from this file or folder")
    parser.add_argument("--accept-licence", action="store_true", help="fetch: agree to the licence of the weights")
    options.add_talk(parser, progress=True)


def _add_embed(commands: Any) -> None:
    parser = _add(
        commands,
        "embed",
        caching.embed_image,
        "compute what a model keeps of an image, so that prompts are answered at once",
        "promptile embed scene.tif --model NAME",
    )
    parser.add_argument("image", metavar="IMAGE", help="GeoTIFF, NIfTI, NRRD, MHA, DICOM folder, Zarr, ...")
    parser.add_argument("--model", required=True, metavar="NAME", help="see `promptile models`")
    options.add_loading(parser)
    parser.add_argument("--level", type=int, metavar="N", help="only this resolution, 0 = full (default: all)")
    options.add_view(parser, "half a tile")
    options.add_image_choice(parser)
    options.add_talk(parser, progress=True)


def _add_cache(commands: Any) -> None:
    parser = _add(
        commands,
        "cache",
        caching.manage_cache,
        "show, clear or find what was kept of images for later",
        "promptile cache clear",
    )
    parser.add_argument("action", nargs="?", choices=["show", "clear", "path"], default="show")
    options.add_talk(parser)


def _add_compare(commands: Any) -> None:
    parser = _add(
        commands,
        "compare",
        do.compare_results,
        "measure a result against the truth",
        "promptile compare objects.gpkg truth.gpkg",
    )
    parser.add_argument("result", metavar="RESULT", help="labels, vectors or a run")
    parser.add_argument("truth", metavar="TRUTH", help="labels or vectors")
    parser.add_argument(
        "--tolerance", type=float, default=1.0, metavar="MM", help="volumes: for the surface Dice (default: 1 mm)"
    )
    options.add_talk(parser)


def _add_measure(commands: Any) -> None:
    parser = _add(
        commands,
        "measure",
        measure_objects,
        "measure the objects of a run: volume, surface, diameter, intensity, place",
        "promptile measure scan.run.zarr --out objects.csv",
    )
    options.add_run(parser)
    options.add_run_image(parser)
    parser.add_argument("--out", "-o", action="append", default=[], metavar="FILE", help="write FILE: .csv or .json")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    options.add_talk(parser)


def _add_classify(commands: Any) -> None:
    parser = _add(
        commands,
        "classify",
        classify_run,
        "name the objects of a run by the texts that describe them",
        "promptile classify scene.run.zarr --text building --text tree",
    )
    options.add_run(parser)
    parser.add_argument("--text", action="append", required=True, metavar="T", help="a category; several times")
    add_ranking(parser)
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", help="where the ranker computes (default: auto)")
    options.add_run_image(parser)
    options.add_talk(parser, progress=True)


def _add_replay(commands: Any) -> None:
    parser = _add(
        commands,
        "replay",
        replay_run,
        "ask for all objects of a run again, and compare",
        "promptile replay scene.run.zarr",
    )
    options.add_run(parser, ", of prompts or of a session")
    options.add_run_image(parser)
    parser.add_argument("--out", "-o", metavar="RUN2", help="keep the new run there")
    options.add_talk(parser, progress=True)


def _add_demo(commands: Any) -> None:
    parser = _add(
        commands, "demo", do.run_demo, "segment the sample scene and the sample volume", "promptile demo demo"
    )
    parser.add_argument("folder", nargs="?", default="promptile-demo", metavar="FOLDER")
