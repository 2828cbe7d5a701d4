"""How the napari window behaves: whether it freezes, how fast it answers, what it keeps in memory, what it loses.

    QT_QPA_PLATFORM=xcb xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/gui.py [SCENE ...] [--seconds 20]

Each scene plays in a napari of its own, with settings, sessions and caches of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

NAMES = (
    "baseline",
    "sleeping",
    "computing",
    "storm",
    "storm_run",
    "latency",
    "mobile-sam",
    "cold",
    "clicks",
    "images",
    "kill",
)
_MARK = "rows: "


def main() -> None:
    """Play the scenes that were asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, default=20, help="length of a measurement; below 10 for a trial")
    parser.add_argument("--why", action="store_true", help="say what the window did when it was late; slows it down")
    parser.add_argument("--here", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for name in asked.scenes or NAMES:
        if asked.here is not None:
            print(_MARK + json.dumps(play(name, asked.here, asked.seconds, why=asked.why)))
        else:
            show(in_own_process(name, sys.argv[1:], asked.scenes))


def in_own_process(name: str, arguments: list[str], scenes: list[str]) -> list[dict[str, Any]]:
    """The rows of a scene."""
    options = [a for a in arguments if a not in scenes]
    with tempfile.TemporaryDirectory(prefix="gui-") as folder:
        if name == "kill":
            from gui_kill import killed

            return [killed(20 if "--seconds" not in options else 3, Path(folder), surroundings(Path(folder), name))]
        command = [sys.executable, __file__, name, *options, "--here", folder]
        told = subprocess.run(command, env=surroundings(Path(folder), name), stdout=subprocess.PIPE, text=True)
    rows = []
    for line in told.stdout.splitlines():
        if line.startswith(_MARK):
            rows = json.loads(line.removeprefix(_MARK))
        else:
            print(line)
    if told.returncode or not rows:
        print(f"{name}: ended with status {told.returncode}")
    return rows


def surroundings(folder: Path, name: str) -> dict[str, str]:
    """An environment in which nothing is kept from before, but for compiled code."""
    own = {
        "XDG_DATA_HOME": str(folder / "sessions"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "NAPARI_CONFIG": str(folder / "napari.yaml"),
    }
    if name == "cold":
        own["NUMBA_CACHE_DIR"] = str(folder / "compiled")
    return dict(os.environ) | own


def play(name: str, folder: Path, seconds: float, *, why: bool) -> list[dict[str, Any]]:
    """Play one scene in this process."""
    from gui_kill import busy
    from gui_memory import many_clicks, many_images
    from gui_scenes import baseline, cold, latency, running, storm
    from gui_window import Window

    scenes: dict[str, Any] = {
        "baseline": baseline,
        "sleeping": partial(running, sleeping=True),
        "computing": partial(running, sleeping=False),
        "storm": partial(storm, run=False),
        "storm_run": partial(storm, run=True),
        "latency": latency,
        "mobile-sam": partial(latency, name="mobile-sam"),  # needs its weights
        "cold": cold,
        "clicks": many_clicks,
        "images": many_images,
        "busy": busy,
    }
    rows: list[dict[str, Any]] = []
    window = Window(why=why)
    window.play(scenes[name](window, rows, folder, seconds))
    window.viewer.close()
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table."""
    if rows:
        table = csv.DictWriter(sys.stdout, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
