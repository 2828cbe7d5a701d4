"""Throughput of the executors, side by side: processes against one, a local dask cluster against the pool.

    python benchmarks/workers.py
    python benchmarks/workers.py --image scene.tif --tiles 24 --workers 2

Without an image each item burns a fixed amount of arithmetic; with one, the built-in model proposes objects in
tiles of the image's middle. All executors take turns, round by round, because other programs may run meanwhile;
ratios are of the same round, and their median is printed with the machine's load. What they would be on cores that
nothing else uses is said beside it, from how long workers computed (busy) and how much of a core each item took.
Starting the workers, and what each opens and compiles for its first tile, is told apart.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import promptile as pt
from promptile import models
from promptile.engine.execute import Dask, Executor, Processes, Serial, Threads, Work
from promptile.grid import Tile, tiles
from promptile.models.protocols import View
from promptile.rendering import Rendering
from promptile.sources import Source


class Arithmetic:
    """Items that cost the same."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._folder = folder
        self._steps = steps

    def read(self, item: int) -> int:
        return item

    def compute(self, item: int, seen: int) -> int:
        for _ in range(self._steps):
            seen = (seen * 6364136223846793005 + 1442695040888963407) % 2**64
        return seen

    def write(self, item: int, answer: int) -> None:
        (self._folder / str(item)).write_bytes(answer.to_bytes(8, "big"))


class Clocked:
    """Work that says how long each item was computed, and how long a core worked on it."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def read(self, item: Any) -> Any:
        return self._work.read(item)

    def compute(self, item: Any, seen: Any) -> Any:
        wall, core = time.perf_counter(), time.thread_time()
        answer = self._work.compute(item, seen)
        return answer, time.perf_counter() - wall, time.thread_time() - core

    def write(self, item: Any, answer: Any) -> Any:
        self._work.write(item, answer[0])
        return answer[1:]


class Proposals:
    """What the built-in model sees in the tiles of an image."""

    def __init__(self, folder: Path, image: Source, rendering: Rendering) -> None:
        self._folder = folder
        self._image = image
        self._rendering = rendering

    @cached_property
    def _model(self) -> Any:
        return models.load("basin", self._image.grid.ndim)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_model"}

    def read(self, item: Tile) -> View:
        samples = self._image.read(item.outer, channels=self._rendering.channels)
        valid = self._image.valid(item.outer)
        return View(self._rendering.apply(samples, valid), valid, self._image.grid.spacing)

    def compute(self, item: Tile, seen: View) -> np.ndarray:
        labels = np.zeros(seen.shape, np.uint16)
        for number, proposal in enumerate(self._model.propose(seen), 1):
            labels[proposal.window.slices][proposal.samples] = number
        return labels

    def write(self, item: Tile, answer: np.ndarray) -> None:
        np.save(self._folder / f"{item.index}.npy", answer)


def work_on(image: str | None, count: int, size: int, steps: int, folder: Path) -> tuple[Work, Sequence[Any]]:
    """The work and its items."""
    if image is None:
        return Arithmetic(folder, steps), range(count)
    source = pt.open(image)
    shape = source.grid.shape
    around = sorted(
        tiles(shape, (size,) * len(shape), size // 8),
        key=lambda tile: float(np.linalg.norm(np.add(tile.core.start, tile.core.stop) / 2 - np.array(shape) / 2)),
    )
    return Proposals(folder, source, Rendering.of(source)), around[:count]


def digest(folder: Path) -> str:
    """Of everything that was written; then it is removed."""
    seen = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        seen.update(path.name.encode() + path.read_bytes())
        path.unlink()
    return seen.hexdigest()[:12]


@dataclass(frozen=True)
class Turn:
    """One executor in one round."""

    seconds: float
    busy: float
    """Part of the time in which a worker computes."""
    core: float
    """Seconds that a core works on an item."""


def clock(executor: Executor, work: Work, items: Sequence[Any]) -> Turn:
    """Do all items; any error ends the measurement."""
    before = time.perf_counter()
    computed = core = 0.0
    for outcome in executor.run(Clocked(work), items):
        if outcome.error:
            raise outcome.error
        computed += outcome.kept[0]
        core += outcome.kept[1]
    seconds = time.perf_counter() - before
    return Turn(seconds, computed / seconds / executor.workers, core / len(items))


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(makers: Sequence[tuple[str, int]], turns: dict[str, list[Turn]], starts: dict[str, float]) -> None:
    """One row per executor."""
    print("| executor | against 1 process | busy | core s per item | on free cores | start with first items, s |")
    print("|---|---|---|---|---|---|")
    one = turns["1 process"]
    for name, workers in makers:
        mine = turns[name]
        ratios = spread([a.seconds / b.seconds for a, b in zip(one, mine, strict=True)])
        busy, core = (statistics.median(getattr(t, what) for t in mine) for what in ("busy", "core"))
        alone = statistics.median(workers * b.busy / b.core * a.core / a.busy for a, b in zip(one, mine, strict=True))
        print(f"| {name} | {ratios} | {busy:.2f} | {core:.3f} | {alone:.2f} | {starts[name]:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image")
    parser.add_argument("--tiles", type=int, default=24)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3_000_000, help="of arithmetic per item without an image")
    asked = parser.parse_args()
    n = asked.workers
    pool, cluster = f"{n} processes", f"local dask, {n} workers"
    makers: dict[str, Any] = {
        "one after the other": Serial,
        "threads": Threads,
        "1 process": lambda: Processes(1),
        pool: lambda: Processes(n),
        cluster: lambda: Dask(n),
    }
    turns: dict[str, list[Turn]] = {name: [] for name in makers}
    starts: dict[str, float] = {}
    digests, loads = set(), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        work, items = work_on(asked.image, asked.tiles, asked.size, asked.steps, folder)
        for number in range(asked.rounds):
            for name, maker in makers.items():
                before = time.perf_counter()
                with maker() as executor:
                    clock(executor, work, items[: 2 * executor.workers])  # opens, compiles
                    starts[name] = min(starts.get(name, np.inf), time.perf_counter() - before)
                    digest(folder)
                    turns[name].append(clock(executor, work, items))
                    digests.add(digest(folder))
            loads.append(os.getloadavg()[0])
            print(
                f"round {number + 1}: " + ", ".join(f"{k} {t[-1].seconds:.1f} s" for k, t in turns.items()), flush=True
            )
    print(f"\n{len(items)} items, load {min(loads):.1f} to {max(loads):.1f}, the same bytes: {len(digests) == 1}\n")
    table([(name, n if name in (pool, cluster) else 1) for name in makers], turns, starts)
    against = spread([a.seconds / b.seconds for a, b in zip(turns[pool], turns[cluster], strict=True)])
    print(f"\n{cluster} against {pool}: {against}")


if __name__ == "__main__":
    main()
