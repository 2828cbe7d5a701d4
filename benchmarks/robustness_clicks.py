"""How few clicks an object needs: a simulated user draws a box and corrects the largest mistake, click by click.

::

    python benchmarks/robustness_clicks.py ct.nii.gz labels.nii.gz --model mobile-sam --weights mobile_sam.pt
    python benchmarks/robustness_clicks.py scene.tif roofs.geojson --model basin --objects 12

For images and volumes, and any model. The clicks are made twice: where they are meant, and up to 5 pixels beside.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import clicks
import numpy as np
from numpy.typing import NDArray

from promptile import models
from promptile.engine.job import Job
from promptile.engine.objects import Grower
from promptile.engine.slices import Slices
from promptile.prompts import Prompt
from promptile.sources import Source, open_source

STARTS = ("box", "slice", "click")
ENOUGH = (0.85, 0.9)
SEED = 0


@dataclass(frozen=True)
class Dialogue:
    """What came of one object.

    Parameters
    ----------
    dices : list of float
        After the first answer, and after each click.
    seconds : list of float
        That each answer took.
    """

    dices: list[float]
    seconds: list[float]

    def needed(self, dice: float) -> int | None:
        """Clicks after the first answer until the object is that good; None if it never is."""
        return next((n for n, found in enumerate(self.dices) if found >= dice), None)


def first_prompt(truth: NDArray[np.bool_], start: str, grower: Grower, spacing: tuple[float, ...]) -> Prompt:
    """A box around the object, a box in its middle slice, or a click in its middle."""
    none = np.empty((0, truth.ndim)), np.empty(0, bool)
    if start == "click":
        return Prompt(1, clicks.innermost(truth, spacing)[None], np.ones(1, bool))
    if start == "slice" and truth.ndim == 3:
        return Prompt(1, *none, clicks.box_in_slice(truth, getattr(grower, "axis", int(np.argmax(spacing)))))
    return Prompt(1, *none, clicks.box(truth))


def dialogue(
    grower: Grower, truth: NDArray[np.bool_], prompt: Prompt, most: int, *, jitter: float = 0.0, shown: bool = False
) -> Dialogue:
    """What a model answers to a first prompt, and to up to `most` clicks on the largest mistakes of its answers."""
    random = np.random.default_rng(SEED)
    spacing = grower.embedder.source.grid.spacing
    axes = [a for a in range(truth.ndim) if truth.ndim == 2 or a != getattr(grower, "axis", int(np.argmax(spacing)))]
    dices: list[float] = []
    seconds: list[float] = []
    for turn in range(most + 1):
        begun = time.perf_counter()
        mask = grower.grow(prompt).mask
        seconds.append(time.perf_counter() - begun)
        answer = np.zeros(truth.shape, bool)
        answer[mask.window.slices] = mask.read(mask.window)
        dices.append(2 * np.count_nonzero(answer & truth) / max(mask.count + np.count_nonzero(truth), 1))
        if shown:
            print(f"    {turn}: {dices[-1]:.3f} in {seconds[-1]:.1f} s", flush=True)
        found = clicks.correction(truth, answer, spacing)
        if found is None:
            break
        place = clicks.jittered(found[0], jitter, truth.shape, random, axes)
        points = np.vstack([prompt.points, place])
        prompt = Prompt(1, points, np.append(prompt.labels, found[1]), prompt.box)
    return Dialogue(dices + dices[-1:] * (most + 1 - len(dices)), seconds)


def truths(path: Path, source: Source, wanted: list[int] | None, most: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Objects of a label image, or the polygons of a vector file."""
    if path.suffix.lower() in (".geojson", ".gpkg", ".fgb", ".shp"):
        labels = _rasterised(path, source)
    else:
        truth = open_source(path)
        labels = truth.read(truth.grid.window)[0]
    if labels.shape != source.grid.shape:
        raise SystemExit(f"{path.name} has the shape {labels.shape} and {source.name} {source.grid.shape}")
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    chosen = numbers[np.argsort(-counts)][:most] if wanted is None else wanted
    for number in chosen:
        yield f"{number:g}", labels == number


def _rasterised(path: Path, source: Source) -> NDArray[np.int32]:
    import geopandas as gpd
    import rasterio.features

    affine = source.grid.matrix
    transform = rasterio.Affine(*affine[0, [1, 0, 2]], *affine[1, [1, 0, 2]]) * rasterio.Affine.translation(-0.5, -0.5)
    shapes = gpd.read_file(path).to_crs(source.grid.space).geometry
    pairs = [(shape, number) for number, shape in enumerate(shapes, 1)]
    return rasterio.features.rasterize(pairs, out_shape=source.grid.shape, transform=transform, dtype="int32")


def report(rows: dict[str, list[Dialogue]]) -> str:
    """A markdown table: one row per way of clicking."""
    some = next(iter(rows.values()))
    most = len(some[0].dices) - 1
    head = ["clicks", *map(str, range(most + 1)), *(f"to {d}" for d in ENOUGH), "s, first", "s, each"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, all_ in rows.items():
        means = [f"{np.mean([d.dices[n] for d in all_]):.3f}".lstrip("0") for n in range(most + 1)]
        reached = []
        for dice in ENOUGH:
            needed = [n for d in all_ if (n := d.needed(dice)) is not None]
            reached.append(f"{np.mean(needed):.1f} ({len(needed)} of {len(all_)})" if needed else f"0 of {len(all_)}")
        later = [s for d in all_ for s in d.seconds[1:]] or [0.0]
        first = np.median([d.seconds[0] for d in all_])
        lines.append("| " + " | ".join([name, *means, *reached, f"{first:.2f}", f"{np.median(later):.2f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("truth", type=Path, help="labels, or polygons")
    parser.add_argument("--model", default="basin")
    parser.add_argument("--weights")
    parser.add_argument("--axis", help="ask about a volume slice by slice: auto, 0, 1 or 2")
    parser.add_argument("--window", default="auto")
    parser.add_argument("--labels", help="which objects, as 1,5,7; without it the largest")
    parser.add_argument("--objects", type=int, default=8, help="how many (default: 8)")
    parser.add_argument("--start", choices=STARTS, default="box")
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument("--jitter", type=float, default=5.0, help="pixels (default: 5)")
    options = parser.parse_args()
    source = open_source(options.image)
    slices = None
    if options.axis is not None:
        slices = Slices(options.axis if options.axis == "auto" else int(options.axis))
    ndim = source.grid.ndim if slices is None else 2
    model = models.load(options.model, ndim, weights=options.weights)
    grower = Job.prepare(source, model, window=options.window, slices=slices).grower()
    wanted = None if options.labels is None else [int(n) for n in options.labels.split(",")]
    rows: dict[str, list[Dialogue]] = {"where they are meant": [], f"up to {options.jitter:g} px beside": []}
    for name, truth in truths(options.truth, source, wanted, options.objects):
        prompt = first_prompt(truth, options.start, grower, source.grid.spacing)
        for row, jitter in zip(rows, (0.0, options.jitter), strict=True):
            print(f"{name}, clicks {row}", flush=True)
            rows[row].append(dialogue(grower, truth, prompt, options.clicks, jitter=jitter, shown=True))
    print(report(rows))


if __name__ == "__main__":
    main()
