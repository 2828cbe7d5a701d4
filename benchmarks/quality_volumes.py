"""How well 3D prompts are answered: mean Dice of `basin` and of what it has to beat, as a markdown table.

``python benchmarks/quality_volumes.py --out docs/quality-volumes.md`` reports on the half of the objects that
nothing was fitted on, and on all of them; ``--half tune`` shows the other one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import clicks
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from truths import HALVES
from volume_baselines import BASELINES

from promptile.models.basin import load
from promptile.models.protocols import Promptable, View, WindowPrompt

CLICKS = (0, 1, 3, 5)
LARGE_MM3 = 20_000.0
SMALLEST = 10  # voxels: below, a label is the remnant of an organ that was cropped away
HIPPOCAMPI = ("001", "004", "007", "011", "015", "019")
LESIONS = (
    *("ibsi_STS_001_CT", "ibsi_STS_001_MR_T1", "ibsi_STS_002_CT", "ibsi_STS_002_MR_T1"),
    *("pyrad_brain1", "pyrad_breast1"),
)
PERCENTILES = (2.0, 98.0)  # what Rendering shows
Answer = Callable[[WindowPrompt], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Case:
    """One object of one volume."""

    name: str
    group: str
    view: View
    truth: NDArray[np.bool_]


def cases(folder: Path, half: str) -> Iterator[Case]:
    """Every second object of each group; `half` is ``tune``, ``report`` or ``all``."""
    seen: dict[str, int] = {}
    for case in _all_cases(folder / "med"):
        seen[case.group] = seen.get(case.group, 0) + 1
        if half == "all" or (half == "report") == (seen[case.group] % 2 == 0):
            yield case


def _all_cases(med: Path) -> Iterator[Case]:
    yield from _labels(med / "totalseg_ct")
    yield from _labels(med / "tptbox_ct_spine")
    yield from _labels(med / "sct_t1")
    yield from _labels(med / "sct_t2")
    for i, name in enumerate(HIPPOCAMPI):  # alternately, so that both parts are in both halves
        yield from list(_labels(med / "msd_hippocampus", f"hippocampus_{name}.nii.gz"))[:: 1 if i % 2 else -1]
    for name in LESIONS:
        yield from _labels(med / name, group="lesions")


def _labels(folder: Path, name: str = "", group: str = "") -> Iterator[Case]:
    pair = [folder / part / name for part in ("images", "labels")] if name else None
    image, labels = pair or [next(folder.glob(f"{part}.n*")) for part in ("image", "labels")]
    read = sitk.ReadImage(str(image))
    spacing = tuple(float(s) for s in read.GetSpacing()[::-1])
    view = as_view(sitk.GetArrayFromImage(read), spacing)
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    for label in np.unique(values[values > 0]):
        truth = values == label
        if truth.sum() < SMALLEST:
            continue
        size = "organs > 20 ml" if truth.sum() * np.prod(spacing) > LARGE_MM3 else "small organs"
        yield Case(f"{folder.name}/{name}/{label:g}", group or size, view, truth)


def as_view(samples: NDArray[np.generic], spacing: tuple[float, ...]) -> View:
    """A volume as the model sees it: 2 % to 98 % become 0 to 1, nothing is clipped."""
    low, high = np.percentile(samples, PERCENTILES)
    scaled = ((samples - low) / max(high - low, 1e-6)).astype(np.float32)
    return View(scaled[None], np.ones(scaled.shape, bool), spacing)


# The simulated user


def first_prompt(case: Case, kind: str) -> WindowPrompt:
    none = np.zeros((0, 3)), np.zeros(0, bool)
    if kind == "click":
        return WindowPrompt(innermost(case.truth, case.view.spacing)[None], np.ones(1, bool))
    box = clicks.box(case.truth)
    if kind == "2D box in the middle slice":
        middle = int(np.floor(box[:, 0].mean() + 0.5))
        if not case.truth[middle].any():
            middle = int(np.argmax(case.truth.sum(axis=(1, 2))))
        flat = clicks.box(case.truth[middle])
        box = np.column_stack([[middle - 0.5, middle + 0.5], flat])
    return WindowPrompt(*none, box=box)


def innermost(region: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """``(3,)``: the sample of a region that lies farthest from its outside, in millimetres."""
    spans = ndimage.find_objects(region.astype(np.uint8))[0]
    depth = ndimage.distance_transform_edt(np.pad(region[spans], 1), sampling=spacing)
    found = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return np.array([f - 1.0 + s.start for f, s in zip(found, spans, strict=True)])


def correct(case: Case, prompt: WindowPrompt, logits: NDArray[np.float32]) -> WindowPrompt | None:
    """The prompt with one more click, in the middle of the largest mistake; None if there is no mistake."""
    answer = logits > 0
    found = ndimage.find_objects((answer | case.truth).astype(np.uint8))[0]
    best, size, label = None, 0, False
    for wrong, sign in ((case.truth[found] & ~answer[found], True), (answer[found] & ~case.truth[found], False)):
        pieces, count = ndimage.label(wrong)
        sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
        if count and sizes.max() > size:
            best, size, label = pieces == int(np.argmax(sizes)) + 1, int(sizes.max()), sign
    if best is None:
        return None
    point = innermost(best, case.view.spacing) + [s.start for s in found]
    return replace(
        prompt,
        points=np.vstack([prompt.points, point]),
        labels=np.append(prompt.labels, label),
        mask=logits.astype(np.float32),
    )


def dialogue(case: Case, prompt: WindowPrompt | None, answer: Answer, rounds: int) -> list[float]:
    """Dice after 0 to `rounds` corrective clicks."""
    dices: list[float] = []
    while prompt is not None and len(dices) <= rounds:
        logits = answer(prompt)
        dices.append(dice(logits > 0, case.truth))
        prompt = correct(case, prompt, logits)
    return dices + [1.0] * (rounds + 1 - len(dices))


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1)


# The report


def measure(
    chosen: list[Case], kind: str, answerer: Callable[[View], Answer]
) -> tuple[dict[str, NDArray], float, float]:
    """Mean Dice per group after 0, 1, 3, 5 clicks; median seconds of first answers and of corrections."""
    rows: dict[str, list[list[float]]] = {}
    first, later = [], []
    for case in chosen:
        answer = _timed(answerer(case.view), first, later)
        rows.setdefault(case.group, []).append(dialogue(case, first_prompt(case, kind), answer, max(CLICKS)))
    means = {group: np.mean(values, axis=0)[list(CLICKS)] for group, values in rows.items()}
    return means, float(np.median(first)), float(np.median(later)) if later else 0.0


def _timed(answer: Answer, first: list[float], later: list[float]) -> Answer:
    def timed(prompt: WindowPrompt) -> NDArray[np.float32]:
        start = time.process_time()  # what other work leaves of a machine's time is not to be measured
        logits = answer(prompt)
        (first if prompt.mask is None else later).append(time.process_time() - start)
        return logits

    return timed


def basin(model: Promptable) -> Callable[[View], Answer]:
    def answerer(view: View) -> Answer:
        (embedding,) = model.embed([view])
        return lambda prompt: model.predict(embedding, prompt).logits[0]

    return answerer


def report(chosen: list[Case]) -> list[str]:
    """One table."""
    groups = list(dict.fromkeys(case.group for case in chosen))
    counts = [f"{group} ({sum(case.group == group for case in chosen)})" for group in groups]
    lines = [
        "| prompt | who | " + " | ".join(counts) + " | s | s/click |",
        "|---|---|" + "---|" * (len(groups) + 2),
    ]
    model = load(3)
    for kind in ("3D box", "2D box in the middle slice", "click"):
        for name, answerer in {"**basin**": basin(model), **BASELINES}.items():
            if name == "ConfidenceConnected" and kind != "click":
                continue
            means, first, later = measure(chosen, kind, answerer)
            cells = [" ".join(f"{d:.3f}".lstrip("0") for d in means[g]) for g in groups]
            lines.append(f"| {kind} | {name} | " + " | ".join(cells) + f" | {first:.2f} | {later:.2f} |")
            print(lines[-1], flush=True)
    return [*lines, ""]


HEADING = [
    "# Quality of 3D prompts",
    "",
    "Mean Dice over the objects (their number in brackets): first answer, after 1, 3 and 5 corrective clicks. Seconds",
    "are medians of a first answer and of a correction on one core, to be compared within a table only.",
    "Made by `python benchmarks/quality_volumes.py`. Lesions are few: differences below .05 say little there.",
    "",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--half", nargs="+", choices=tuple(HALVES), default=["report", "all"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = list(HEADING)
    for half in options.half:
        lines += [HALVES[half], "", *report(list(cases(options.data, half)))]
    if options.out:
        options.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
