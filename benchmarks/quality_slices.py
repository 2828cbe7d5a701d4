"""How well a model for images follows objects through volumes, beside the same model, or `basin`, in 3D: a table.

::

    python benchmarks/quality_slices.py --out slices.jsonl
    python benchmarks/quality_slices.py --model mobile-sam --weights mobile_sam.pt --out slices.jsonl
    python benchmarks/quality_slices.py --table slices.jsonl --into docs/slices.md

The first line measures `basin` slice by slice and in 3D. Results are added to the file: what is in there is not
measured again, so that it can be stopped. The last one prints the table, or replaces the one in a page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from robustness_clicks import dialogue, first_prompt

from promptile import models
from promptile.engine.job import Job
from promptile.engine.objects import Grower
from promptile.engine.slices import Slices
from promptile.sources import Source, open_source

STRUCTURES = (
    ("totalseg_ct", "", 2, "kidney"),
    ("totalseg_ct", "", 20, "vertebra"),
    ("totalseg_ct", "", 90, "hip bone"),
    ("totalseg_ct", "", 7, "aorta"),
    ("totalseg_ct", "", 5, "liver"),
    ("sct_t2", "", 1, "spinal cord, T2"),
    ("sct_t1", "", 1, "spinal cord, T1"),
    ("msd_hippocampus", "hippocampus_001.nii.gz", 1, "hippocampus, anterior"),
    ("msd_hippocampus", "hippocampus_001.nii.gz", 2, "hippocampus, posterior"),
    ("tptbox_ct_spine", "", 22, "vertebra, CT of the spine"),
)
"""Folder, file, label, name."""

CLICKS = (0, 1, 3, 5)
STARTS = {"slice": "box in a slice", "box": "3D box"}


def opened(folder: Path, file: str) -> tuple[Source, NDArray[Any]]:
    """A volume and its labels."""
    parts = ("images", "labels") if file else ("image", "labels")
    image, labels = (folder / part / file if file else next(folder.glob(f"{part}.n*")) for part in parts)
    truth = open_source(labels)
    return open_source(image), truth.read(truth.grid.window)[0]


def measured(name: str, grower: Grower, truth: NDArray[np.bool_], start: str) -> dict[str, Any]:
    """One row of the file: Dice after each click."""
    grid = grower.embedder.source.grid
    found = dialogue(grower, truth, first_prompt(truth, start, grower, grid.spacing), max(CLICKS))
    ml = np.count_nonzero(truth) * grid.sample_size / 1000
    return {"model": name, "start": start, "ml": ml, "dices": found.dices, "seconds": found.seconds}


def measure_all(data: Path, name: str, weights: str | None, done: set[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    """Rows for a model slice by slice, and in 3D if it can, but for those that are done."""
    wanted: list[tuple[str, Slices | None]] = [(f"{name}, slices", Slices(axis=0))]
    if name == "basin":
        wanted.append(("basin, 3D", None))
    for called, slices in wanted:
        model = models.load(name, 3 if slices is None else 2, weights=weights)
        for folder, file, label, structure in STRUCTURES:
            starts = [start for start in STARTS if (called, structure, start) not in done]
            if not starts:
                continue
            source, labels = opened(data / "med" / folder, file)
            window = "soft" if folder == "totalseg_ct" else "auto"
            grower = Job.prepare(source, model, window=window, slices=slices).grower()
            for start in starts:
                yield {"structure": structure, **measured(called, grower, labels == label, start)}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row per structure and first prompt, a column per model."""
    called = list(dict.fromkeys(row["model"] for row in rows))
    lines = [f"| structure | ml | prompt | {' | '.join(called)} |", "|" + "---|" * (3 + len(called))]
    for start, prompt in STARTS.items():
        for structure in dict.fromkeys(row["structure"] for row in rows):
            here = {row["model"]: row for row in rows if row["structure"] == structure and row["start"] == start}
            cells = [_dices(here.get(model)) for model in called]
            if here:
                ml = next(iter(here.values()))["ml"]
                lines.append(f"| {structure} | {ml:.0f} | {prompt} | {' | '.join(cells)} |")
        means = [[row["dices"] for row in rows if row["model"] == m and row["start"] == start] for m in called]
        cells = [_dices({"dices": np.mean(some, axis=0)}) + f" ({len(some)})" if some else "" for some in means]
        lines.append(f"| *mean* | | {prompt} | {' | '.join(cells)} |")
    return "\n".join(lines)


def put_into(page: Path, new: str) -> None:
    """Replace the table of a page that begins like this one."""
    lines, head = page.read_text(encoding="utf-8").splitlines(), "| structure | ml | prompt |"
    first = next(i for i, line in enumerate(lines) if line.startswith(head))
    last = next(i for i in range(first, len(lines) + 1) if i == len(lines) or not lines[i].startswith("|"))
    page.write_text("\n".join([*lines[:first], new, *lines[last:]]) + "\n", encoding="utf-8")


def _read(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _dices(row: dict[str, Any] | None) -> str:
    return "" if row is None else " ".join(f"{row['dices'][n]:.2f}".lstrip("0") for n in CLICKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="basin")
    parser.add_argument("--weights")
    parser.add_argument("--out", type=Path, help="add the results to this file")
    parser.add_argument("--table", type=Path, help="print the table of such a file instead")
    parser.add_argument("--into", type=Path, help="put the table into this page")
    options = parser.parse_args()
    if options.table:
        made = table(_read(options.table))
        print(made) if options.into is None else put_into(options.into, made)
        return
    done = {(row["model"], row["structure"], row["start"]) for row in _read(options.out)}
    for row in measure_all(options.data, options.model, options.weights, done):
        print(f"{row['model']}: {row['structure']}, {STARTS[row['start']]}: {_dices(row)}", flush=True)
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
