"""What can be typed."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from promptile import __version__
from promptile.cli import caching, modelling
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
    _add_out(out)
    out.add_argument("--run", metavar="DIR", help="where the run is kept (default: beside the first --out)")
    out.add_argument("--restart", action="store_true", help="throw the kept run away and begin again")
    how = parser.add_argument_group("how")
    how.add_argument("--model", default="basin", metavar="NAME", help="see `promptile models` (default: basin)")
    _add_loading(how)
    how.add_argument("--level", default="auto", metavar="auto|N", help="resolution at which points are asked, 0 = full")
    _add_view(how, "half a tile; for everything an eighth")
    how.add_argument("--memory", action="store_true", help="slice by slice, by the model's own memory (SAM 2)")
    how.add_argument("--skip-outside", action="store_true", help="leave out prompts that lie outside the image")
    _add_image_choice(how)
    add_text(parser.add_argument_group("texts"))
    _add_everything(parser.add_argument_group("everything, and texts where it says so"))
    _add_shaping(parser.add_argument_group("outlines in vector files"))
    _add_talk(parser, progress=True)


def _add_view(parser: Any, overlap: str) -> None:
    parser.add_argument("--tile", type=int, metavar="N", help="side of a tile (default: 1024, in volumes 128)")
    parser.add_argument("--overlap", type=int, metavar="N", help=f"what tiles share (default: {overlap})")
    parser.add_argument("--channels", metavar="4,3,2", help="channels that the model sees, from 1")
    parser.add_argument(
        "--window", default="auto", metavar="soft|LOW,HIGH|auto", help="intensity range; also lung, bone, brain"
    )
    parser.add_argument(
        "--axis", choices=["auto", "0", "1", "2"], help="ask about a volume slice by slice, across this axis"
    )
    parser.add_argument("--planes", choices=["1", "3"], help="slices along one axis, or all three, which then vote")


def _add_everything(parser: Any) -> None:
    parser.add_argument(
        "--keep",
        choices=["best", "whole", "part", "all"],
        help="of objects that hold one another: the better ones, the outermost, the innermost, or all of them",
    )
    parser.add_argument("--levels", metavar="0,2,4|auto", help="resolutions to look at (default: 0; texts: auto)")
    parser.add_argument("--aoi", metavar="F", help="polygons or boxes: only here; also for texts")
    parser.add_argument("--min-region", type=int, default=0, metavar="N", help="leave out objects below N samples")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that answer tiles; also for texts")
    parser.add_argument("--scheduler", metavar="tcp://...|local", help="a dask cluster that answers tiles")
    parser.add_argument("--points-per-side", type=int, metavar="N", help="ask N × N points per 1024 × 1024 samples")
    parser.add_argument("--points-per-batch", type=int, metavar="N", help="points asked at a time")
    parser.add_argument("--pred-iou-thresh", type=float, metavar="X", help="least score (default: 0.88)")
    parser.add_argument("--stability-score-thresh", type=float, metavar="X", help="least stability (default: 0.95)")
    parser.add_argument("--box-nms-thresh", type=float, metavar="X", help="overlap of repeated objects (default: 0.7)")


def _add_shaping(parser: Any) -> None:
    parser.add_argument(
        "--simplify", type=float, default=0.0, metavar="D", help="by up to D map units; borders stay shared"
    )
    parser.add_argument("--smooth", action="store_true", help="round corners off; borders stay shared")
    parser.add_argument("--min-area", type=float, default=0.0, metavar="A", help="leave out smaller objects (m², px)")
    parser.add_argument("--fill-holes", type=float, default=0.0, metavar="A", help="fill smaller holes (m², px, mm³)")
    parser.add_argument("--regularize", action="store_true", help="right angles, for buildings")


def _add_out(parser: Any, *, required: bool = False) -> None:
    parser.add_argument(
        "--out",
        "-o",
        action="append",
        default=[],
        required=required,
        metavar="FILE",
        help="write FILE; may be given several times; its suffix says how: .gpkg .geojson .fgb .parquet .shp .tif "
        ".nii .nii.gz .nrrd .mha .seg.nrrd .seg.dcm .rt.dcm .zarr",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--on-overlap", choices=["score", "first", "last"], help="which object labels show (default: the better score)"
    )
    parser.add_argument(
        "--remove-islands", type=float, default=0.0, metavar="V", help="remove smaller pieces of objects (mm³)"
    )


def _add_image_choice(parser: Any) -> None:
    parser.add_argument("--time", type=int, metavar="N", help="time point of a 4D image, from 0")
    parser.add_argument("--series", metavar="UID|N|NAME", help="series of a DICOM folder")
    parser.add_argument("--resample", action="store_true", help="interpolate DICOM slices that do not form a grid")


def _add_loading(parser: Any) -> None:
    parser.add_argument("--weights", metavar="F", help="the model's weights file (default: looked for)")
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", help="where the model computes (default: auto)")
    parser.add_argument("--runtime", metavar="auto|torch|onnx|openvino", help="what computes it (default: auto)")
    parser.add_argument("--precision", metavar="auto|fp32|bf16|fp16", help="with how many digits (default: auto)")


def _add_talk(parser: argparse.ArgumentParser, *, progress: bool = False) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    if progress:
        parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def _add_export(commands: Any) -> None:
    parser = _add(
        commands,
        "export",
        do.export_run,
        "write the result of a run again",
        "promptile export scene.run.zarr -o objects.fgb",
    )
    parser.add_argument("run", metavar="RUN", help="a folder NAME.run.zarr")
    _add_out(parser, required=True)
    _add_shaping(parser.add_argument_group("outlines in vector files"))
    _add_talk(parser)


def _add_show(commands: Any) -> None:
    parser = _add(
        commands, "show", do.show_run, "draw a run over its image", "promptile show scene.run.zarr --out preview.png"
    )
    parser.add_argument("run", metavar="RUN", help="a folder NAME.run.zarr")
    parser.add_argument("--out", "-o", required=True, metavar="PNG", help="the picture to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--size", type=int, default=1200, metavar="N", help="longest side in pixels (default: 1200)")
    parser.add_argument("--image", metavar="IMAGE", help="the image, if it is not where it was")
    parser.add_argument("--window", metavar="soft|LOW,HIGH|auto", help="intensity range (default: that of the run)")


def _add_info(commands: Any) -> None:
    parser = _add(commands, "info", do.show_info, "say what an image or a run is", "promptile info scene.tif")
    parser.add_argument("path", metavar="IMAGE|RUN")
    _add_image_choice(parser)
    _add_talk(parser)


def _add_models(commands: Any) -> None:
    summary, example = "list the models, show one, fetch its weights", "promptile models fetch mobile-sam"
    parser = _add(commands, "models", modelling.show_models, summary, example)
    parser.add_argument("action", nargs="?", choices=["list", "show", "fetch"], default="list")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--from", dest="file", metavar="FILE", help="fetch: copy the weights from this file or folder")
    parser.add_argument("--accept-licence", action="store_true", help="fetch: agree to the licence of the weights")
    _add_talk(parser, progress=True)


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
    _add_loading(parser)
    parser.add_argument("--level", type=int, metavar="N", help="only this resolution, 0 = full (default: all)")
    _add_view(parser, "half a tile")
    _add_image_choice(parser)
    _add_talk(parser, progress=True)


def _add_cache(commands: Any) -> None:
    parser = _add(
        commands,
        "cache",
        caching.manage_cache,
        "show, clear or find what was kept of images for later",
        "promptile cache clear",
    )
    parser.add_argument("action", nargs="?", choices=["show", "clear", "path"], default="show")
    _add_talk(parser)


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
    _add_talk(parser)


def _add_measure(commands: Any) -> None:
    parser = _add(
        commands,
        "measure",
        measure_objects,
        "measure the objects of a run: volume, surface, diameter, intensity, place",
        "promptile measure scan.run.zarr --out objects.csv",
    )
    parser.add_argument("run", metavar="RUN", help="a folder NAME.run.zarr")
    parser.add_argument("--image", metavar="IMAGE", help="the image, if it is not where it was")
    parser.add_argument("--out", "-o", action="append", default=[], metavar="FILE", help="write FILE: .csv or .json")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    _add_talk(parser)


def _add_classify(commands: Any) -> None:
    parser = _add(
        commands,
        "classify",
        classify_run,
        "name the objects of a run by the texts that describe them",
        "promptile classify scene.run.zarr --text building --text tree",
    )
    parser.add_argument("run", metavar="RUN", help="a folder NAME.run.zarr")
    parser.add_argument("--text", action="append", required=True, metavar="T", help="a category; several times")
    add_ranking(parser)
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", help="where the ranker computes (default: auto)")
    parser.add_argument("--image", metavar="IMAGE", help="the image, if it is not where it was")
    _add_talk(parser, progress=True)


def _add_replay(commands: Any) -> None:
    parser = _add(
        commands,
        "replay",
        replay_run,
        "ask for all objects of a run again, and compare",
        "promptile replay scene.run.zarr",
    )
    parser.add_argument("run", metavar="RUN", help="a folder NAME.run.zarr, of prompts or of a session")
    parser.add_argument("--image", metavar="IMAGE", help="the image, if it is not where it was")
    parser.add_argument("--out", "-o", metavar="RUN2", help="keep the new run there")
    _add_talk(parser, progress=True)


def _add_demo(commands: Any) -> None:
    parser = _add(
        commands, "demo", do.run_demo, "segment the sample scene and the sample volume", "promptile demo demo"
    )
    parser.add_argument("folder", nargs="?", default="promptile-demo", metavar="FOLDER")
