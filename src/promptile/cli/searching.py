"""Options about texts: what can be typed, and what the library takes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from promptile.cli.classifying import add_ranking, phrases_of, ranker_of
from promptile.cli.wishes import levels_of
from promptile.errors import UsageError

if TYPE_CHECKING:
    from promptile.engine.detect import Text
    from promptile.engine.ranking import Phrases
    from promptile.grid import Grid
    from promptile.models.protocols import Model

_FOR_DETECTOR = ("detector", "detector_weights", "box_threshold", "text_threshold")
_FOR_RANKER = ("ranker", "ranker_weights", "threshold", "background")


def add_text(parser: Any) -> None:
    """Options of a search."""
    parser.add_argument("--detector", metavar="NAME", help="what finds objects (default: grounding-dino-tiny)")
    parser.add_argument("--detector-weights", metavar="F", help="the detector's weights (default: looked for)")
    parser.add_argument("--box-threshold", type=float, metavar="X", help="least score of an object, 0 to 1")
    parser.add_argument("--text-threshold", type=float, metavar="X", help="least score of a word, 0 to 1")
    parser.add_argument(
        "--via",
        choices=["detector", "proposals"],
        default="detector",
        help="what finds objects: a detector, or a ranker among everything that the model sees (default: detector)",
    )
    add_ranking(parser)


def check_asked(options: argparse.Namespace) -> None:
    """Refuse a command that asks for nothing, or for two things at once."""
    said = [kind for kind in ("points", "boxes", "prompts") if getattr(options, kind) is not None]
    if not (said or options.everything or options.text):
        raise UsageError(
            "Nothing is asked for: use --points F, --boxes F, --prompts F, --text 'what to look for' or --everything"
        )
    if options.text and options.everything:
        raise UsageError("--text and --everything are two wishes: leave one out, or name objects afterwards")
    if options.via == "proposals":
        if not options.text or said:
            raise UsageError("--via proposals is for texts alone: add --text 'what to look for', and no prompts")
        options.everything = True
    unused = [name for name in (*_FOR_DETECTOR, *_FOR_RANKER) if getattr(options, name) is not None]
    if unused and not options.text:
        raise UsageError(f"{_option(unused[0])} means nothing without a text: add --text 'what to look for'")
    for name in unused:
        if (name in _FOR_RANKER) != (options.via == "proposals"):
            wanted = "--via proposals" if name in _FOR_RANKER else "--via detector"
            raise UsageError(f"{_option(name)} means nothing here: leave it out, or use {wanted}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def text_of(options: argparse.Namespace, grid: Grid) -> Text | Phrases | None:
    """What is looked for; None if nothing is."""
    from promptile.engine.detect import Text
    from promptile.prompts.area import Area

    if not options.text:
        return None
    if options.via == "proposals":
        return phrases_of(options)
    return Text(
        options.text,
        box_threshold=options.box_threshold,
        text_threshold=options.text_threshold,
        levels=levels_of(options.levels or "auto"),
        area=None if options.aoi is None else Area.read(options.aoi, grid),
    )


def detector_of(options: argparse.Namespace) -> str | Model:
    """The detector that was named, loaded if more than its name was said."""
    from promptile import models
    from promptile.segmentation import DETECTOR

    name = options.detector or DETECTOR
    unsaid = options.detector_weights is None and options.device is None
    if not options.text or options.via == "proposals" or unsaid:
        return str(name)
    return models.load(name, 2, weights=options.detector_weights, device=options.device)


def judge_of(options: argparse.Namespace) -> str | Model:
    """The ranker that was named, loaded if more than its name was said and it is needed."""
    from promptile.engine.ranking import RANKER

    return ranker_of(options) if options.via == "proposals" else RANKER
