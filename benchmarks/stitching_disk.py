"""Stitching from disk to disk: Mpx/s and peak memory for growing scenes, and what is wrong with the result.

    python benchmarks/stitching_disk.py --sides 4096 8192 16384
    python benchmarks/stitching_disk.py --sides 4096 32768 --no-check --vectors

The answers of all tiles are written first, by a perfect model or by one that errs; that is not counted. Then a process
of its own matches, joins, paints and numbers them (`promptile.engine.everything.compute`, as in any run), with
`--workers` processes. Its memory, and that of its workers, is the sum of their proportional shares (PSS), sampled.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from stitching import SIZES, Erring, perfect, truth

from promptile.engine.everything import Everything, compute
from promptile.engine.execute import Executor, choose
from promptile.engine.job import Job
from promptile.grid import Grid, Tile, Window
from promptile.models.protocols import ModelCard, Proposal, View
from promptile.rendering import Rendering
from promptile.run import TiledRun
from promptile.run.tiles import TileStore
from promptile.stitching import summarise

_MEGA = 1e6


@dataclass(frozen=True)
class Nowhere:
    """A source of which only the grid matters: all tiles have been answered."""

    side: int
    name: str = "made"
    levels: tuple[tuple[int, ...], ...] = ((1, 1),)
    channels: tuple[str, ...] = ("grey",)
    dtype: str = "uint8"
    nodata: None = None
    modality: str = ""

    @property
    def grid(self) -> Grid:
        metres = [[0, 0.5, 300_000], [-0.5, 0, 5_000_000], [0, 0, 1]]
        return Grid.of((self.side, self.side), metres, "EPSG:32633")

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name, "side": self.side}

    def read(self, window: Window, level: int = 0, channels: Any = None) -> Any:
        raise NotImplementedError

    def valid(self, window: Window, level: int = 0) -> Any:
        raise NotImplementedError


class Silent:
    """A model that is not asked."""

    card = ModelCard(name="made", family="benchmark", abilities=frozenset({"propose"}), ndim=2, digest="made")

    def propose(self, view: View) -> list[Proposal]:
        raise NotImplementedError


def job_of(side: int, size: int, halo: int) -> Job:
    return Job(Nowhere(side), Silent(), Rendering((0,), (0.0,), (1.0,)), (size, size), (2 * halo, 2 * halo))


def start(path: Path, job: Job) -> TiledRun:
    return TiledRun.start(path, job.spec | {"everything": Everything().spec(job)}, restart=False)


_WORK: tuple[TileStore, float, bool] | None = None


def _begin(*work: Any) -> None:
    global _WORK
    _WORK = work  # type: ignore[assignment]


def _answer(tile: Tile) -> None:
    store, pitch, errs = _WORK  # type: ignore[misc]
    view = truth(tile.outer, pitch)
    found = (Erring(0) if errs else perfect)(view, tile, store.shape)
    store.commit(tile, found, summarise(found, tile, store.shape))


def answer_all(path: Path, job: Job, pitch: float, errs: bool) -> None:
    run = start(path, job)
    (store,) = run.stores
    with multiprocessing.get_context("spawn").Pool(2, _begin, (store, pitch, errs)) as pool:
        for _ in pool.imap_unordered(_answer, store.tiles.values(), chunksize=8):
            pass
    run.close()


class Peak:
    """Memory of this process and its children, at its highest; MB."""

    def __enter__(self) -> Peak:
        self.highest, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.05):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.highest = max(self.highest, total / _MEGA)


def stitch(path: Path, job: Job, workers: int) -> dict[str, float]:
    """Stitch in this process; a small scene goes before, so that workers are there and kernels are compiled."""
    run = start(path, job)
    with Peak() as peak, choose(workers) as executor:
        _warm_up(path.with_name("small.run.zarr"), executor)
        steps: dict[str, float] = {}
        begin = time.perf_counter()
        compute(run, job, Everything(), executor, lambda what, *_: steps.__setitem__(what, time.perf_counter() - begin))
        seconds = time.perf_counter() - begin
    run.close()
    return {"seconds": seconds, "peak_mb": peak.highest, "objects": len(run.objects), "steps": steps}  # type: ignore[dict-item]


def _warm_up(path: Path, executor: Executor) -> None:
    job = job_of(1024, 256, 16)
    run = start(path, job)
    (store,) = run.stores
    for tile in store.tiles.values():
        found = perfect(truth(tile.outer, 40.0), tile, store.shape)
        store.commit(tile, found, summarise(found, tile, store.shape))
    compute(run, job, Everything(), executor, lambda *_: None)
    run.close()


def check(path: Path, pitch: float) -> dict[str, int]:
    """Split, fused and lost objects, and samples that differ, block by block."""
    run = TiledRun.open(path)
    pairs: set[tuple[int, int]] = set()
    side, changed = run.grid.shape[0], 0
    for y in range(0, side, 2048):
        for x in range(0, side, 2048):
            window = Window((y, x), (2048, 2048)).clip(run.grid.shape)
            real, painted = truth(window, pitch), run.read_labels(window)
            changed += int(np.count_nonzero((real > 0) != (painted > 0)))
            both = np.unique(real.astype(np.uint64) << np.uint64(32) | painted)
            pairs |= {(int(p >> np.uint64(32)), int(p & np.uint64(0xFFFFFFFF))) for p in both}
    found = np.array([p for p in pairs if all(p)])
    reals, counts = np.unique(found[:, 0], return_counts=True)
    _, uses = np.unique(found[:, 1], return_counts=True)
    lost = {a for a, b in pairs if a and not b} - set(reals.tolist())
    return {
        "split": int((counts > 1).sum()), "fused": int((uses > 1).sum()), "lost": len(lost), "changed": changed,
    }  # fmt: skip


def write_vectors(path: Path) -> dict[str, float]:
    begin = time.perf_counter()
    with Peak() as peak:
        TiledRun.open(path).write(path.with_name("objects.gpkg"), overwrite=True)
    return {"vector_seconds": time.perf_counter() - begin, "vector_peak_mb": peak.highest}


def _alone(*arguments: str) -> dict[str, Any]:
    """One step in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--objects", choices=list(SIZES), nargs="+", default=list(SIZES))
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--halo", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--errs", action="store_true")
    parser.add_argument("--vectors", action="store_true")
    parser.add_argument("--no-check", dest="check", action="store_false")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    job = job_of(options.sides[0], options.size, options.halo)
    if options.step:
        step, path = options.step[0], Path(options.step[1])
        print(json.dumps(stitch(path, job, options.workers) if step == "stitch" else write_vectors(path)))
        return
    print("| objects | side | found | Mpx/s | peak MB | split | fused | lost | changed px | vectors s | vectors MB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.objects:
        for side in options.sides:
            print(_row(name, side, options), flush=True)


def _row(name: str, side: int, options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.run.zarr"
        job = job_of(side, options.size, options.halo)
        answer_all(path, job, SIZES[name], options.errs)
        common = ["--sides", str(side), "--size", str(options.size), "--halo", str(options.halo)]
        found = _alone(*common, "--workers", str(options.workers), "--step", "stitch", str(path))
        print({k: round(v, 1) for k, v in found["steps"].items()}, file=sys.stderr)
        wrong = check(path, SIZES[name]) if options.check else dict.fromkeys(("split", "fused", "lost", "changed"), "")
        drawn = _alone(*common, "--step", "vectors", str(path)) if options.vectors else {}
        cells = [name, side, found["objects"], f"{side**2 / found['seconds'] / _MEGA:.0f}", f"{found['peak_mb']:.0f}"]
        cells += [*wrong.values()]
        cells += [f"{drawn[k]:.0f}" if drawn else "" for k in ("vector_seconds", "vector_peak_mb")]
        return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
