"""Groups of options, and what commands share; options of texts, ranking and tasks are where they are read."""

from __future__ import annotations

from typing import Any


def add_view(parser: Any, overlap: str) -> None:
    """How the image is cut and shown to the model."""
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


def add_everything(parser: Any) -> None:
    """What is kept of everything, and who answers."""
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


def add_shaping(parser: Any) -> None:
    """How outlines are drawn in vector files."""
    parser.add_argument(
        "--simplify", type=float, default=0.0, metavar="D", help="by up to D map units; borders stay shared"
    )
    parser.add_argument("--smooth", action="store_true", help="round corners off; borders stay shared")
    parser.add_argument("--min-area", type=float, default=0.0, metavar="A", help="leave out smaller objects (m², px)")
    parser.add_argument("--fill-holes", type=float, default=0.0, metavar="A", help="fill smaller holes (m², px, mm³)")
    parser.add_argument("--regularize", action="store_true", help="right angles, for buildings")


def add_out(parser: Any, *, required: bool = False) -> None:
    """Files of a result."""
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


def add_image_choice(parser: Any) -> None:
    """Which of several images in one place."""
    parser.add_argument("--time", type=int, metavar="N", help="time point of a 4D image, from 0")
    parser.add_argument("--series", metavar="UID|N|NAME", help="series of a DICOM folder")
    parser.add_argument("--resample", action="store_true", help="interpolate DICOM slices that do not form a grid")


def add_loading(parser: Any) -> None:
    """How a model is loaded."""
    parser.add_argument("--weights", metavar="F", help="the model's weights file (default: looked for)")
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", help="where the model computes (default: auto)")
    parser.add_argument("--runtime", metavar="auto|torch|onnx|openvino", help="what computes it (default: auto)")
    parser.add_argument("--precision", metavar="auto|fp32|bf16|fp16", help="with how many digits (default: auto)")


def add_talk(parser: Any, *, progress: bool = False) -> None:
    """What is printed."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    if progress:
        parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def add_run(parser: Any, kind: str = "") -> None:
    """The run that a command is about."""
    parser.add_argument("run", metavar="RUN", help=f"a folder NAME.run.zarr{kind}")


def add_run_image(parser: Any) -> None:
    """Where the image of a run is now."""
    parser.add_argument("--image", metavar="IMAGE", help="the image, if it is not where it was")
