"""How well 2D prompts are answered: mean IoU of `basin` and of what it has to beat, as a markdown table.

``python benchmarks/quality.py --out docs/quality.md`` reports on the half of the objects that nothing was fitted
on, and on all of them; ``--half tune`` shows the other one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import clicks
import numpy as np
from baselines import Baseline, all_baselines
from numpy.typing import NDArray
from truths import HALVES, SETS, Case, cases

from promptile.models.basin import load
from promptile.models.protocols import Masks, Promptable, WindowPrompt

BOX_CLICKS = (0, 1, 3, 5)
CLICKS = (0, 2, 4)  # corrections after the first click
BOX = "**basin, box**"
REFERENCE = "seeded watershed"  # seconds are compared with it

Ask = Callable[[WindowPrompt], Masks]


@dataclass(frozen=True)
class Dialogue:
    """One object: IoU of the first answer, of the best of its candidates, after each correction, and seconds."""

    ious: list[float]
    best: float
    seconds: list[float]


def talk(ask: Ask, truth: NDArray[np.bool_], corrections: int, *, box: bool) -> Dialogue:
    """Prompt an object with its box, or a click, and then correct the answer that often."""
    points = [] if box else [clicks.innermost(truth)]
    labels = [True] * len(points)
    frame, mask = clicks.box(truth) if box else None, None
    ious, best, seconds = [], 0.0, []
    for turn in range(corrections + 1):
        asked = WindowPrompt(np.reshape(points, (-1, 2)).astype(float), np.array(labels, bool), frame, mask)
        start = time.process_time()
        masks = ask(asked)
        seconds.append(time.process_time() - start)
        best = max(iou(m > 0, truth) for m in masks.logits) if turn == 0 else best
        mask = masks.logits[0]
        ious.append(iou(mask > 0, truth))
        mistake = clicks.correction(truth, mask > 0)
        if mistake is None:
            return Dialogue(ious + [1.0] * (corrections - turn), best, seconds)
        points.append(mistake[0])
        labels.append(mistake[1])
    return Dialogue(ious, best, seconds)


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1))


class Table:
    """Rows of a markdown table with a column per set, then seconds."""

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        self.rows: dict[str, list[float]] = {}
        self.lines = [
            "| prompt | " + " | ".join(columns) + " | mean | ms | × watershed |",
            "|---|" + "---|" * (len(columns) + 3),
        ]

    def add(self, name: str, values: list[float], seconds: float, reference: float) -> None:
        self.rows[name] = values
        cells = [f"{v:.3f}".lstrip("0") for v in [*values, float(np.mean(values))]]
        times = f"{seconds * 1000:.1f} | {seconds / reference:.1f}"
        self.lines.append(f"| {name} | " + " | ".join(cells) + f" | {times} |")

    def behind(self, name: str, rivals: list[str]) -> str:
        """A sentence on the sets where a row is behind another one."""
        ahead = [
            f"{rival} on {column} ({self.rows[rival][i]:.3f} against {self.rows[name][i]:.3f})"
            for i, column in enumerate(self.columns)
            for rival in rivals
            if self.rows[rival][i] > self.rows[name][i]
        ]
        return f"Better than `basin` from a box: {'; '.join(ahead) or 'nothing above'}."


def report(chosen: dict[str, list[Case]]) -> list[str]:
    """One table, and where it is behind."""
    table = Table([f"{name} ({len(found)})" for name, found in chosen.items()])
    reference = _add_baselines(table, chosen)
    rivals = list(table.rows)
    model = load(2)
    _talk(model, next(iter(chosen.values()))[0], 1, box=False)  # compile before anything is timed
    boxes = {name: [_talk(model, case, max(BOX_CLICKS), box=True) for case in found] for name, found in chosen.items()}
    for count in BOX_CLICKS:
        label = BOX if count == 0 else f"box + {count} clicks"
        _add(table, label, [[d.ious[count] for d in found] for found in boxes.values()], _time(boxes, count), reference)
    single = {name: [_talk(model, case, max(CLICKS), box=False) for case in found] for name, found in chosen.items()}
    first = _time(single, 0)
    _add(table, "**basin, one click**", [[d.ious[0] for d in found] for found in single.values()], first, reference)
    _add(table, "best of three", [[d.best for d in found] for found in single.values()], first, reference)
    for count in CLICKS[1:]:
        values = [[d.ious[count] for d in found] for found in single.values()]
        _add(table, f"{count + 1} clicks in all", values, _time(single, count), reference)
    return [*table.lines, "", table.behind(BOX, rivals), ""]


def _talk(model: Promptable, case: Case, corrections: int, *, box: bool) -> Dialogue:
    (embedding,) = model.embed([case.view])
    return talk(partial(model.predict, embedding), case.truth, corrections, box=box)


def _add_baselines(table: Table, chosen: dict[str, list[Case]]) -> float:
    """Rows for what has to be beaten; seconds of the watershed."""
    found = {name: [_ask(b, c) for c in chosen.values()] for name, b in all_baselines().items()}
    reference = float(np.mean([np.median(times) for _, times in found[REFERENCE]]))
    for name, per_set in found.items():
        seconds = float(np.mean([np.median(times) for _, times in per_set]))
        _add(table, name, [values for values, _ in per_set], seconds, reference)
    return reference


def _ask(baseline: Baseline, found: list[Case]) -> tuple[list[float], list[float]]:
    values, times = [], []
    for case in found:
        start = time.process_time()
        answer = baseline(case.view, clicks.box(case.truth))
        times.append(time.process_time() - start)
        values.append(iou(answer, case.truth))
    return values, times


def _add(table: Table, name: str, values: list[list[float]], seconds: float, reference: float) -> None:
    table.add(name, [float(np.mean(v)) for v in values], seconds, reference)
    print(table.lines[-1], flush=True)


def _time(dialogues: dict[str, list[Dialogue]], turn: int) -> float:
    """Mean over the sets of the median seconds of the answer at a turn."""
    return float(
        np.mean([np.median([d.seconds[min(turn, len(d.seconds) - 1)] for d in f]) for f in dialogues.values()])
    )


HEADING = [
    "# Quality of 2D prompts",
    "",
    "Mean IoU over the objects of each set (their number in brackets). The box is the object's own; the click lies as",
    "far inside as possible; a correction lies in the middle of the largest mistake. Milliseconds of the processor are",
    "medians of one answer (the last one of a dialogue), looking included; the last column compares what it costs.",
    "Made by `python benchmarks/quality.py`. Pivots, Sentinel-2 and panchromatic have so few objects that differences",
    "below .02 say little there.",
    "",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--half", nargs="+", choices=tuple(HALVES), default=["report", "all"])
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS))
    parser.add_argument("--most", type=int, default=10**9, help="objects per set at most, spread evenly")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = list(HEADING)
    for half in options.half:
        chosen = {}
        for name in options.sets:
            found = list(cases(options.data, name, half))
            chosen[name] = found[:: max(1, -(-len(found) // options.most))]
        lines += [HALVES[half], "", *report(chosen)]
    if options.out:
        options.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
