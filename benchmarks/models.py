"""What the SAM family costs: time to look at a window and to answer points, and memory, beside its authors' code.

    python benchmarks/models.py --models mobile-sam sam-b --reference FOLDER --write

``--reference`` is a folder that holds any of the packages segment_anything, segment_anything_hq, mobile_sam and
efficient_sam. Weights are made by rule, as for the tests. All ways to compute take turns in one process; memory is
that of a process of its own for each. ``--write`` puts the tables into docs/models.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from references import reference
from torch import Tensor

from promptile.models.protocols import View
from promptile.models.sam.model import Sam
from promptile.models.sam.nets.network import Features, Questions
from promptile.models.sam.variants import VARIANTS, Variant

ROOT = Path(__file__).parents[1]
PAGE, START, END = ROOT / "docs" / "models.md", "<!-- costs -->", "<!-- end of costs -->"
TITLES = {"authors": "authors' code", "torch": "torch", "onnx": "ONNX Runtime", "openvino": "OpenVINO"}
STEPS = {"look": "Look at a window, s", "one": "Answer 1 point, ms", "many": "Answer {} points, s"}

Way = tuple[Callable[[Tensor], Any], Callable[[Any, Tensor], Tensor]]
"""Looks at images ``(1, 3, side, side)``; answers points ``(n, 2)`` in their pixels with logits."""


def main() -> None:
    options = _options()
    sys.path[:0] = [str(ROOT / "tests"), *options.reference]
    if options.part:
        print(json.dumps(_part(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = {name: _row(name, Path(folder), options) for name in options.models}
    text = "\n\n".join([_machine(options.points), *_tables(rows, options.points)])
    print(text)
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
        PAGE.write_text(f"{before}{START}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--reference", action="append", default=[], metavar="FOLDER")
    parser.add_argument("--ways", nargs="+", default=list(TITLES), choices=list(TITLES), metavar="WAY")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=64, help="how many are many")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--part", choices=["weights", "times", "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _row(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All that is measured of a model, each in a process of its own."""
    ask = partial(_in_process, name, folder / f"{name}.pt", options)
    made = ask("weights", options.ways)
    times = ask("times", [way for way in options.ways if _installed(way)])
    memory = {way: ask("memory", [way]) for way in times["look"]}
    (folder / f"{name}.pt").unlink()
    return {**made, **times, "memory": memory}


def _in_process(name: str, weights: Path, options: argparse.Namespace, part: str, ways: Sequence[str]) -> Any:
    said = [f"--part={part}", f"--weights={weights}", f"--rounds={options.rounds}", f"--points={options.points}"]
    said += [f"--reference={folder}" for folder in options.reference]
    print(f"{name}: {part} {' '.join(ways)}", file=sys.stderr)
    command = [sys.executable, __file__, *said, "--models", name, "--ways", *ways]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def _installed(way: str) -> bool:
    package = {"onnx": "onnxruntime"}.get(way, way)
    return way in ("authors", "torch") or all(importlib.util.find_spec(each) for each in (package, "onnx"))


@torch.inference_mode()
def _part(options: argparse.Namespace) -> Any:
    variant = VARIANTS[options.models[0]]
    if options.part == "weights":
        from sam_small import bare, state, write

        write(options.weights, state(variant), wrapped=variant.style == "efficient")
        return {"parameters": sum(each.numel() for each in bare(variant).parameters())}
    found = {way: _way(way, variant, options.weights) for way in options.ways}
    ways = {way: both for way, both in found.items() if both is not None}
    if options.part == "memory":
        look, answer = ways[options.ways[0]]
        answer(look(_image(variant)), _points(options.points))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
    times = _times(ways, _image(variant), options)
    return {**times, "gpu": _on_gpu(variant, options.weights, options.rounds)}


def _way(way: str, variant: Variant, weights: Path) -> Way | None:
    """How it is computed; None for the authors' code if it is not here."""
    if way == "authors":
        return reference(variant, weights)
    return _asked(Sam.load(variant, weights, "cpu", runtime=way))


def _asked(sam: Sam) -> Way:
    """What the model does around its network, without the shape of windows."""
    network: Any = sam._network

    def look(images: Tensor) -> Features:
        found: Features = network.prepare(network.embed(images))
        return found

    def answer(features: Features, points: Tensor) -> Tensor:
        def some(asked: Sequence[Tensor]) -> list[Tensor]:
            told = torch.stack(list(asked))[:, None]
            questions = Questions(told, torch.ones(len(told), 1, dtype=torch.int64))
            return list(network.decode(features, questions, ambiguous=True)[0])

        return torch.stack(sam._asking.each(list(points), some))

    return look, answer


def _image(variant: Variant) -> Tensor:
    from sam_cases import picture

    return torch.tensor(picture(variant.side))


def _points(count: int) -> Tensor:
    return torch.tensor(np.random.default_rng(0).uniform(0, 1023, (count, 2)).astype(np.float32))


def _times(ways: dict[str, Way], image: Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each step by way, round by round, and how far the logits are from the authors'."""
    one, many = _points(1), _points(options.points)
    times: dict[str, dict[str, list[float]]] = {step: {way: [] for way in ways} for step in STEPS}
    seen = {way: look(image) for way, (look, _) in ways.items()}
    logits = {way: answer(seen[way], one) for way, (_, answer) in ways.items()}
    for _ in range(options.rounds):
        for step in STEPS:
            for way, (look, answer) in ways.items():
                start = time.perf_counter()
                if step == "look":
                    look(image)
                else:
                    answer(seen[way], one if step == "one" else many)
                times[step][way].append(time.perf_counter() - start)
    return {**times, "apart": {way: _apart(logits[way], logits.get("authors")) for way in ways}}


def _apart(logits: Tensor, wanted: Tensor | None) -> float | None:
    """The largest difference, where the authors' code gives as many masks (SAM-HQ's gives one)."""
    if wanted is None or wanted.shape != logits.shape:
        return None
    return float((logits - wanted).abs().max())


def _on_gpu(variant: Variant, weights: Path, rounds: int) -> dict[str, float] | None:
    """Windows per second of the bare encoder, and of the model with all that is around it; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    sam = Sam.load(variant, weights, "cuda")
    count = sam._seeing.size
    images = _image(variant).cuda().expand(count, -1, -1, -1).contiguous()
    samples: NDArray[np.float32] = np.random.default_rng(0).random((3, variant.side, variant.side), np.float32)
    views = [View(samples, np.ones(samples.shape[1:], bool), (1.0, 1.0))] * count

    def bare() -> None:
        with sam._precision():
            sam._network.image_encoder(images)  # type: ignore[attr-defined]

    found: dict[str, list[float]] = {"bare": [], "promptile": []}
    for i in range(rounds + 1):
        for name, compute in (("bare", bare), ("promptile", partial(sam.embed, views))):
            torch.cuda.synchronize()
            start = time.perf_counter()
            compute()
            torch.cuda.synchronize()
            found[name] += [count / (time.perf_counter() - start)] * (i > 0)
    return {name: statistics.median(rates) for name, rates in found.items()}


def _machine(points: int) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"Measured by `benchmarks/models.py` on {cores} cores ({platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}) with torch {torch.__version__}: medians; in brackets how many\n"
        "times as fast as the authors' code in the same run. Memory is the peak of a process that looks at a window\n"
        f"and answers {points} points."
    )


def _tables(rows: dict[str, dict[str, Any]], points: int) -> list[str]:
    ways = [way for way in TITLES if any(way in row["look"] for row in rows.values())]
    tables = []
    for step, title in STEPS.items():
        scale = 1e3 if step == "one" else 1
        cells = [[f"`{name}`", *(_cell(row[step], way, scale) for way in ways)] for name, row in rows.items()]
        tables.append(_table([title.format(points), *(TITLES[way] for way in ways)], cells))
    cells = [
        [f"`{name}`", f"{row['parameters'] / 1e6:.1f} M", *(_number(row["memory"].get(way)) for way in ways)]
        for name, row in rows.items()
    ]
    tables.append(_table(["Memory, GB", "parameters", *(TITLES[way] for way in ways)], cells))
    rates = [
        [f"`{name}`", _number(row["gpu"]["bare"]), _number(row["gpu"]["promptile"])]
        for name, row in rows.items()
        if row["gpu"]
    ]
    if rates:
        tables.append(_table(["Windows per second, GPU", "bare forward pass", "`embed`"], rates))
    return tables


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(times: dict[str, list[float]], way: str, scale: float) -> str:
    if way not in times:
        return ""
    shown = _number(statistics.median(times[way]) * scale)
    if way == "authors" or "authors" not in times:
        return shown
    ratios = [theirs / ours for theirs, ours in zip(times["authors"], times[way], strict=True)]
    return f"{shown} ({statistics.median(ratios):.1f})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
