"""The command that asks for the objects of a run again."""

from __future__ import annotations

import argparse
import json
import sys

from promptile.cli.statuses import ERROR, OK
from promptile.cli.talk import show_progress
from promptile.counts import counted


def replay_run(options: argparse.Namespace) -> int:
    """Ask for all objects of a run again, and say what differs."""
    from promptile.run import Run
    from promptile.session import replay

    with show_progress(options) as progress:
        found = replay(Run.open(options.run), options.image, out=options.out, progress=progress)
    if options.json:
        facts = found.to_json()
        print(json.dumps(facts if options.out else {key: value for key, value in facts.items() if key != "run"}))
    else:
        said = f"{counted(found.objects, 'object')}, {found.asked} asked for again"
        print(f"{said}: {'identical' if found.identical else f'{found.samples} samples of the labels differ'}")
        if options.out:
            print(f"  {found.run.path}")
    for i, why in found.differing.items():
        print(f"promptile: object {i}: {why}", file=sys.stderr)
    return OK if found.identical else ERROR
