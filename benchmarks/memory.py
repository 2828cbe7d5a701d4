"""Peak memory of one command over images of growing size: it must not grow with the image.

    python benchmarks/memory.py --sides 3000 30000

A hundred discs lie in the first 3000 x 3000 samples of each image, or are spread over all of it. Their boxes are
segmented in a process of its own, and its peak memory and time are printed as a table.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

_BLOCK = 1024
_RADIUS = 40
_COUNT = 100
_NEAR = 3000


def centres(side: int, seed: int) -> np.ndarray:
    """A hundred disc centres (y, x) on a jittered lattice, none touching another."""
    cells = round(_COUNT**0.5)
    step = side / cells
    random = np.random.default_rng(seed)
    lattice = (np.stack(np.meshgrid(*[np.arange(cells)] * 2, indexing="ij"), -1).reshape(-1, 2) + 0.5) * step
    return np.rint(lattice + random.uniform(-0.1, 0.1, lattice.shape) * step)


def make_image(path: Path, side: int, discs: np.ndarray) -> None:
    """A tiled 8-bit GeoTIFF of noise with brighter discs, written block by block."""
    profile = {
        "driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8", "crs": "EPSG:32633",
        "transform": from_origin(500000, 5800000, 0.5, 0.5), "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "zstd", "zstd_level": 1, "bigtiff": "if_safer",
    }  # fmt: skip
    noise = np.random.default_rng(0).integers(60, 90, (_BLOCK, _BLOCK), dtype=np.uint8)
    with rasterio.open(path, "w", **profile) as file:
        for y in range(0, side, _BLOCK):
            for x in range(0, side, _BLOCK):
                height, width = min(_BLOCK, side - y), min(_BLOCK, side - x)
                block = noise[:height, :width].copy()
                near = discs[(np.abs(discs - [y + _BLOCK / 2, x + _BLOCK / 2]) < _BLOCK / 2 + _RADIUS).all(axis=1)]
                rows, columns = np.ogrid[y : y + height, x : x + width]
                for cy, cx in near:
                    block[np.hypot(rows - cy, columns - cx) < _RADIUS] += 90
                file.write(block, 1, window=Window(x, y, width, height))


def write_boxes(path: Path, discs: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["x0", "y0", "x1", "y1"])
        for y, x in discs:
            left, top = 500000 + (x - _RADIUS) * 0.5, 5800000 - (y - _RADIUS) * 0.5
            table.writerow([left, top - _RADIUS, left + _RADIUS, top])


def peak(command: list[str]) -> tuple[float, float]:
    """Peak memory in MB and seconds of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} ended with {status}")
    return usage.ru_maxrss / 1024, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[3000, 30000])
    options = parser.parse_args()
    print("| side | prompts | peak memory MB | ratio | seconds |\n|---|---|---|---|---|")
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides:
            sets = {"near": centres(_NEAR, 1), "spread": centres(side, 2)}
            image = Path(folder) / f"{side}.tif"
            for name, discs in sets.items():
                make_image(image, side, discs)
                boxes, out = Path(folder) / "boxes.csv", Path(folder) / f"{side}-{name}.gpkg"
                write_boxes(boxes, discs)
                command = [
                    "promptile",
                    "segment",
                    image,
                    "--boxes",
                    boxes,
                    "-o",
                    out,
                    "-o",
                    out.with_suffix(".tif"),
                    "-q",
                ]
                megabytes, seconds = peak([sys.executable, "-m", *map(str, ["promptile", *command[1:]])])
                first.setdefault(name, megabytes)
                print(
                    f"| {side} | {name} | {megabytes:.0f} | {megabytes / first[name]:.2f} | {seconds:.0f} |", flush=True
                )


if __name__ == "__main__":
    main()
