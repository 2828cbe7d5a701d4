"""Labels and masks to polygons: `promptile.vectors` beside `rasterio.features.shapes` in one run.

python benchmarks/outlines.py labels --sides 4096 8192 16384     # speed, shapely objects on both sides
python benchmarks/outlines.py files --sides 8192 32768           # GeoPackages with a million objects, peak memory
python benchmarks/outlines.py masks --sides 4096                 # single masks
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numba import njit
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import shape

from promptile import writers
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.vectors.outlines import geometries
from promptile.vectors.shaping import Shaping
from promptile.vectors.streams import Labels, stream

SHAPINGS = {
    "exact": Shaping(),
    "--simplify 0.5": Shaping(simplify=0.5),
    "--simplify 0.5 --smooth": Shaping(simplify=0.5, smooth=3),
    "--regularize": Shaping(regularize=True),
}
CELL, SWAY = 32, 12
MOST_FOR_RASTERIO = 8192


@njit(cache=True, nogil=True)
def _draw(rows: Any, cols: Any, sway: Any, across: int, labels: Any) -> None:
    for i in range(len(rows)):
        for j in range(len(cols)):
            y, x = rows[i] + sway[cols[j] % 4096] + SWAY, cols[j] + sway[(rows[i] + 977) % 4096] + SWAY
            cell = (y // CELL) * across + x // CELL
            fate = (cell * 2654435761 >> 7) % 16  # some cells stand apart, some have a hole, some are empty
            v, u = y % CELL, x % CELL
            gap = 3 if fate < 5 else 0
            hole = fate in (2, 7) and abs(v - 16) < 3 and abs(u - 16) < 3
            labels[i, j] = 0 if fate == 15 or hole or v < gap or u < gap else cell + 1


@dataclass(frozen=True)
class Cells:
    """A label image of any size that is drawn where it is read: swaying cells of 32 samples, most of which touch."""

    side: int
    origin: dict[str, Any] = field(default_factory=dict)
    layers: int = 1

    @cached_property
    def grid(self) -> Grid:
        return Grid.of((self.side, self.side), [[0, 0.5, 3e5], [-0.5, 0, 5e6], [0, 0, 1]], "EPSG:32632")

    @cached_property
    def sway(self) -> np.ndarray:
        rough = np.random.default_rng(0).normal(size=(2, 4096))
        smooth = sum(
            ndimage.gaussian_filter1d(r, s, mode="wrap") * w for r, s, w in zip(rough, (2, 40), (1.5, 40), strict=True)
        )
        return np.clip(np.round(smooth), -SWAY, SWAY).astype(np.int64)

    @property
    def across(self) -> int:
        return (self.side + 2 * SWAY) // CELL + 1

    def read_labels(self, window: Window, layer: int = 0) -> np.ndarray:
        labels = np.empty(window.shape, np.uint32)
        _draw(
            *(np.arange(a, b) for a, b in zip(window.start, window.stop, strict=True)), self.sway, self.across, labels
        )
        return labels

    @cached_property
    def boxes(self) -> np.ndarray:
        """Larger than the cells, which is allowed: `(n, 2, 2)`."""
        first = np.stack(np.divmod(np.arange(self.across**2), self.across), -1) * CELL - 2 * SWAY
        return np.clip(np.stack([first, first + CELL + 2 * SWAY], 1), 0, self.side)

    @cached_property
    def objects(self) -> pd.DataFrame:
        boxes = self.boxes.reshape(-1, 4)
        table = {"id": np.arange(len(boxes)) + 1, "score": np.float64(0.9), "area_m2": np.float64(250)}
        return pd.DataFrame(table | {"tiles": 1, "touches_edge": False, "open_edge": False, "bbox": list(boxes)})

    def labels(self, held: np.ndarray | None) -> Labels:
        read = self.read_labels if held is None else lambda window: held[window.slices]
        ids = np.arange(len(self.boxes)) + 1
        return Labels(read, self.grid, ids, self.boxes, np.full(len(ids), 250.0))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_labels(side: int, name: str) -> dict[str, float]:
    """Polygons as shapely objects, of which each batch is dropped before the next one comes."""
    cells, shaping = Cells(side), SHAPINGS.get(name)
    list(stream(Cells(64).labels(None), shaping or SHAPINGS["exact"]))  # compiles
    held = cells.read_labels(cells.grid.window) if side <= MOST_FOR_RASTERIO else None
    labels = cells.labels(held)
    before, begin, busy = peak_mb(), time.perf_counter(), time.process_time()
    if shaping is None:
        found = [(shape(g), v) for g, v in shapes(held.view(np.int32), held > 0, 4)]
        area, count = sum(g.area for g, _ in found), len({v for _, v in found})
    else:
        area = count = 0
        for ids, made in stream(labels, shaping):
            area, count = area + shapely.area(made).sum() / labels.grid.sample_size, count + len(ids)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    speeds = {"mpx_s": side**2 / 1e6 / seconds, "mpx_cpu_s": side**2 / 1e6 / busy}
    return speeds | {"mb": peak_mb() - before, "objects": count, "area": float(area)}


def run_files(side: int, name: str) -> dict[str, float]:
    """A GeoPackage, from labels that are drawn as they are read."""
    list(stream(Cells(64).labels(None), SHAPINGS[name]))
    cells = Cells(side)
    with tempfile.TemporaryDirectory() as folder:
        writers.write(Cells(256), Path(folder) / "small.gpkg", shaping=SHAPINGS[name])
        start = peak_mb()
        rows = len(cells.objects)
        table, begin = peak_mb(), time.perf_counter()
        path = writers.write(cells, Path(folder) / "large.gpkg", shaping=SHAPINGS[name])
        seconds, size = time.perf_counter() - begin, path.stat().st_size / 1e6
    return {"objects": rows, "s": seconds, "file_mb": size, "table_mb": table - start, "mb": peak_mb() - table}


def run_masks(side: int, name: str) -> dict[str, float]:
    """One mask, on one thread."""
    noise = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    roughness = {"blobs": (12, 0.01), "fine blobs": (3, 0.05), "noise": (0, 0.5)}[name]
    samples = ndimage.gaussian_filter(noise, roughness[0]) > roughness[1]
    grid = Grid.of((side, side))
    warm = np.ones((8, 8), bool)
    geometries([ObjectMask.of(warm.shape, Window.of(warm.shape), warm)], Grid.of(warm.shape))  # compiles
    mask = ObjectMask.of(samples.shape, grid.window, samples)
    begin = time.process_time()
    (ours,) = geometries([mask], grid)
    middle = time.process_time()
    theirs = [shape(g) for g, _ in shapes(samples.astype(np.uint8), samples, 4)]
    end = time.process_time()
    same = ours.area == sum(g.area for g in theirs) == np.count_nonzero(samples)
    speeds = (samples.size / 1e6 / seconds for seconds in (middle - begin, end - middle))
    return dict(zip(("mpx_s", "rasterio_mpx_s"), speeds, strict=True)) | {"same_area": same}


RUNS = {"labels": run_labels, "files": run_files, "masks": run_masks}
NAMES = {"labels": [*SHAPINGS, "rasterio"], "files": ["exact"], "masks": ["blobs", "fine blobs", "noise"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=RUNS)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096])
    parser.add_argument("--names", nargs="+", help="of shapings or masks")
    parser.add_argument("--here", action="store_true", help="in this process, which is how the others are started")
    options = parser.parse_args()
    for side in options.sides:
        for name in options.names or NAMES[options.what]:
            if options.here:
                print(json.dumps(RUNS[options.what](side, name)))
            elif name != "rasterio" or side <= MOST_FOR_RASTERIO:
                command = [sys.executable, __file__, options.what, "--here", f"--sides={side}", f"--names={name}"]
                found = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # a peak of its own
                values = {key: round(value, 1) for key, value in json.loads(found).items()}
                print(f"{side:6} {name:24} {values}", flush=True)


if __name__ == "__main__":
    main()
