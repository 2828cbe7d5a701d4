"""A napari that is killed at any moment of a session, again and again, and what is there afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from gui_scenes import ACCEPT, Row, opened, places
from gui_window import Script, Window

import promptile as pt
from promptile.samples import sample
from promptile.session import place_of

_OBJECTS, _PAINTED = 40, 12
_LOG = "told.jsonl"


def busy(window: Window, rows: list[Row], folder: Path, seconds: float) -> Script:
    """A user who clicks, accepts, paints and names objects without waiting; what the window says is kept is noted."""
    random_ = random.Random(seconds)
    yield from opened(window, Path(str(sample("scene.tif"))))
    log = (folder / _LOG).open("a", buffering=1)
    desk, scene = window.desk, window.scene

    def note() -> None:
        said = {i: [s.record.version, s.record.category] for i, s in desk.snapshot.states.items()}
        log.write(json.dumps(said) + "\n")

    desk.changed.connect(note)
    note()
    for n, place in enumerate(places(window, _OBJECTS, seed=round(1e6 * random_.random()))):
        window.click(place)
        yield random_.uniform(0.05, 0.6)
        window.press(ACCEPT)
        known = list(desk.snapshot.states)
        if n % 3 == 1 and known:
            desk.objects.rename([random_.choice(known)], f"kind {n}")
        if n % 3 == 2 and known:
            y, x = (int(a) for a in place)
            scene.results.labels[y : y + _PAINTED, x : x + _PAINTED] = random_.choice(known)
        yield random_.uniform(0.0, 0.3)


def killed(times: int, folder: Path, surroundings: dict[str, str]) -> Row:
    """Kill a busy napari many times, each time later in the same session, and open what it left behind."""
    random_ = random.Random(0)
    missing, differing, broken, kept = 0, 0, 0, 0
    source = pt.open(str(sample("scene.tif")))
    place = place_of(source, Path(surroundings["XDG_DATA_HOME"]) / "promptile" / "sessions")
    for n in range(times):
        (folder / _LOG).unlink(missing_ok=True)
        command = [sys.executable, str(Path(__file__).with_name("gui.py")), "busy", "--here", str(folder)]
        napari = subprocess.Popen([*command, "--seconds", str(n)], env=surroundings, stdout=subprocess.DEVNULL)
        while not (folder / _LOG).exists() and napari.poll() is None:
            time.sleep(0.05)
        time.sleep(random_.uniform(0.5, 14.0))
        os.kill(napari.pid, signal.SIGKILL)
        napari.wait()
        lines = (folder / _LOG).read_text().splitlines()
        told: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.endswith("}")))
        with pt.Session(source, out=place) as session:
            states = session.states
            versions = {i: state.record.version for i, state in states.items()}
            missing += sum(versions.get(int(i), 0) < version for i, (version, _) in told.items())
            differing += not np.array_equal(session.run.labels[...], painted(session))
            kept = len(states)
            broken += session.run.unpainted is not None
    return {
        "scene": f"killed {times} times",
        "objects in the end": kept,
        "accepted and missing": missing,
        "labels unlike the journal": differing,
        "left to be painted": broken,
    }


def painted(session: pt.Session) -> np.ndarray:
    """The labels as the masks of all objects make them: the better score on top."""
    labels = np.zeros(session.source.grid.shape, np.uint32)
    states = session.states
    for i in sorted(states, key=lambda i: (states[i].record.score, -i)):
        labels[session.run.mask(i).read(session.run.grid.window)] = i
    return labels
