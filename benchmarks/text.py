"""What becomes of a detector's errors when its boxes are merged: precision and recall, predicted and measured.

    python benchmarks/text.py SCENE.tif TRUTH.geojson

The detector sees the bounds of the true objects in each view, cut at the view's border, with errors: objects that no
view shows, objects that single views overlook, boxes of nothing, sides that are off, differently in each view.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import promptile as pt
from promptile.engine.detect import Findings
from promptile.engine.detect.boxes import areas, common, meeting, one_to_one, over_union
from promptile.engine.detect.findings import Looks
from promptile.grid import tiles
from promptile.prompts import Prompts

Boxes = NDArray[np.float64]

SIZES = (256, 512, 1024)
RIGHT = 0.5
"""A box is right if it shares so much with a true one, intersection over union."""

SEEDS = range(5)


@dataclass(frozen=True)
class Errors:
    """What a detector does wrong, as parts of all objects; `jitter` as a part of a box's side."""

    missed: float = 0.0
    overlooked: float = 0.0
    false: float = 0.0
    jitter: float = 0.0


CASES = {
    "none": Errors(),
    "10 % missed": Errors(missed=0.1),
    "10 % false": Errors(false=0.1),
    "sides off by 5 %": Errors(jitter=0.05),
    "each view overlooks 10 %": Errors(overlooked=0.1),
    "all of these": Errors(0.1, 0.1, 0.1, 0.05),
}


def looks_of(shape: tuple[int, int], levels: int, size: int) -> Looks:
    """The views of a pyramid, which share a quarter."""
    rows = []
    for level in range(levels):
        factor = 2**level
        coarse = np.array([-(-n // factor) for n in shape])
        for tile in tiles(coarse.tolist(), size, size // 4):
            start, stop = np.array(tile.outer.start), np.array(tile.outer.stop)
            frame = np.stack([start * factor, np.minimum(stop * factor, shape)]) - 0.5
            rows.append((level, 0, frame, [start > 0, stop < coarse], [factor, factor]))
        if (coarse <= size).all():
            break
    return Looks(*(np.array(column) for column in zip(*rows, strict=True)))


def see(looks: Looks, boxes: Boxes, errors: Errors, rng: np.random.Generator) -> Findings:
    """What a detector says that sees these boxes."""
    sides = boxes[:, 1] - boxes[:, 0]
    shifted = boxes + rng.normal(0, errors.jitter, (len(looks.levels), *boxes.shape)) * sides[:, None]
    shared = common(np.sort(shifted, axis=2), looks.frames[:, None])
    there = (areas(shared) > 0) & (rng.random(shared.shape[:2]) >= errors.overlooked)
    views, _ = np.nonzero(there)
    scores = np.ones(len(views))
    return Findings(("building",), 0.3, 0.1, looks, views, shared[there], scores, np.zeros(len(views), np.int64))


def made_up(boxes: Boxes, count: int, shape: tuple[int, int], rng: np.random.Generator) -> Boxes:
    """Boxes of nothing, as large as true ones."""
    sides = (boxes[:, 1] - boxes[:, 0])[rng.integers(0, len(boxes), count)]
    low = rng.random((count, 2)) * (np.array(shape) - sides) - 0.5
    return np.stack([low, low + sides], axis=1)


def whole_views(looks: Looks, boxes: Boxes) -> NDArray[np.int64]:
    """``(n,)``: how many views show each box whole."""
    frames = looks.frames[:, None]
    inside = (frames[:, :, 0] < boxes[:, 0]) | ~looks.inner[:, None, 0]
    inside &= (frames[:, :, 1] > boxes[:, 1]) | ~looks.inner[:, None, 1]
    return inside.all(axis=2).sum(axis=0)


def right(found: Boxes, true: Boxes) -> int:
    """How many of the found boxes are true ones, each once."""
    i, j = meeting(found, true)
    share = over_union(found[i], true[j])
    good = share >= RIGHT
    return len(one_to_one(zip(i[good].tolist(), j[good].tolist(), strict=True), share[good]))


def measure(true: Boxes, shape: tuple[int, int], size: int, errors: Errors) -> list[float]:
    """Recall predicted and measured, precision predicted and measured, means over some seeds."""
    looks = looks_of(shape, 8, size)
    rows = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        seen = true[rng.permutation(len(true)) >= round(errors.missed * len(true))]
        false = made_up(true, round(errors.false * len(true)), shape, rng)
        told = see(looks, np.concatenate([seen, false]), errors, rng).merged().boxes
        expected = (1 - errors.overlooked ** whole_views(looks, seen)).sum()
        wrong = (1 - errors.overlooked ** whole_views(looks, false)).sum()
        hits = right(told, true)
        rows.append([expected / len(true), hits / len(true), expected / (expected + wrong), hits / len(told)])
    return np.mean(rows, axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("truth")
    options = parser.parse_args()
    grid = pt.open(options.scene).grid
    true = np.array([prompt.extent for prompt in Prompts.read(options.truth, grid)])
    bounds = np.array([[-0.5, -0.5], np.array(grid.shape) - 0.5])
    true = common(true, np.broadcast_to(bounds, true.shape))
    print("| errors | " + " | ".join(f"tiles of {size}: recall | precision" for size in SIZES) + " |")
    print("|---|" + "---|---|" * len(SIZES))
    for name, errors in CASES.items():
        cells = []
        for size in SIZES:
            expected, recall, sure, precision = measure(true, grid.shape, size, errors)
            cells.append(f"{recall:.3f} ({expected:.3f}) | {precision:.3f} ({sure:.3f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
