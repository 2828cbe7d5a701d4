"""Masks to polygons: `promptile.vectors` beside `rasterio.features.shapes` in one run.

python benchmarks/outlines.py --side 4096
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import shape

from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.vectors.outlines import geometries


def drawn(side: int) -> dict[str, np.ndarray]:
    """Masks of different roughness."""
    noise = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    return {
        "blobs": ndimage.gaussian_filter(noise, 12) > 0.01,
        "fine blobs": ndimage.gaussian_filter(noise, 3) > 0.05,
        "noise": noise > 0.5,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    side = parser.parse_args().side
    grid = Grid.of((side, side))
    warm = np.ones((8, 8), bool)
    geometries([ObjectMask.of(warm.shape, Window.of(warm.shape), warm)], Grid.of(warm.shape))  # compiles
    print("| mask | Mpx/s | rasterio Mpx/s | times as fast | same area |\n|---|---|---|---|---|")
    for name, samples in drawn(side).items():
        mask = ObjectMask.of(samples.shape, grid.window, samples)
        begin = time.process_time()
        (ours,) = geometries([mask], grid)
        middle = time.process_time()
        theirs = [shape(g) for g, _ in shapes(samples.astype(np.uint8), samples, 4)]
        end = time.process_time()
        speeds = [samples.size / 1e6 / seconds for seconds in (middle - begin, end - middle)]
        same = ours.area == sum(g.area for g in theirs) == np.count_nonzero(samples)
        print(f"| {name} | {speeds[0]:.0f} | {speeds[1]:.1f} | {speeds[0] / speeds[1]:.1f} | {same} |", flush=True)


if __name__ == "__main__":
    main()
