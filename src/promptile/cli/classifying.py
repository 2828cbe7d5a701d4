"""The command that names the objects of a run."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from promptile.cli.statuses import OK
from promptile.cli.talk import show_progress

if TYPE_CHECKING:
    from promptile.engine.ranking import Phrases
    from promptile.models.protocols import Model


def add_ranking(parser: Any) -> None:
    """Options of a ranker."""
    parser.add_argument("--ranker", metavar="NAME", help="what compares objects with texts (default: clip-b32)")
    parser.add_argument("--ranker-weights", metavar="F", help="the ranker's weights (default: looked for)")
    parser.add_argument("--threshold", type=float, metavar="X", help="least share of the best text (default: 0.5)")
    parser.add_argument("--background", metavar="T", help="what none of the texts is (default: background)")


def classify_run(options: argparse.Namespace) -> int:
    """Give the objects of a run categories, and say how many have which."""
    from promptile.cli.commands import image_of
    from promptile.run import Run
    from promptile.session.classifying import classify

    phrases = phrases_of(options)
    run = Run.open(options.run)
    image = image_of(run, options.image)
    with show_progress(options) as progress:
        found = classify(run, phrases, ranker=ranker_of(options), image=image, progress=progress)
    if options.json:
        print(json.dumps({"run": str(run.path), "counts": found.counts}))
    else:
        for text, count in found.counts.items():
            print(f"{count:>7}  {text or '(none of them)'}")
    return OK


def phrases_of(options: argparse.Namespace) -> Phrases:
    """What objects may be."""
    from promptile.engine.ranking import Phrases
    from promptile.engine.ranking.options import BACKGROUND, THRESHOLD

    background = BACKGROUND if options.background is None else options.background
    threshold = THRESHOLD if options.threshold is None else options.threshold
    return Phrases(options.text, background, threshold)


def ranker_of(options: argparse.Namespace) -> str | Model:
    """The ranker that was named, loaded if more than its name was said."""
    from promptile import models
    from promptile.engine.ranking import RANKER

    name = options.ranker or RANKER
    if options.ranker_weights is None and options.device is None:
        return str(name)
    return models.load(name, 2, weights=options.ranker_weights, device=options.device)
