"""What computes SAM and its kin fastest on this CPU: torch, ONNX Runtime, OpenVINO, taking turns in one process.

``python benchmarks/runtimes.py mobile-sam=mobile_sam.pt efficient-sam-ti sam-b``: models with weights of yours, or with
random ones, which take the same time. CPU seconds count on a machine that is shared, wall seconds on one that is idle.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from promptile.models.runtimes.choosing import threads
from promptile.models.sam.exported import ExportedNetwork
from promptile.models.sam.exporting import write_graphs
from promptile.models.sam.loading import load_network
from promptile.models.sam.nets.network import Decoding, Network, Questions
from promptile.models.sam.variants import VARIANTS, Variant

PROMPTS = (1, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="NAME[=WEIGHTS]")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(threads())
    print(f"{threads()} threads; CPU seconds (wall seconds), the best of {options.rounds} rounds")
    for said in options.models:
        name, _, weights = said.partition("=")
        measure(VARIANTS[name], Path(weights) if weights else None, options.rounds)


@torch.inference_mode()
def measure(variant: Variant, weights: Path | None, rounds: int) -> None:
    network = load_network(variant, weights) if weights else random_network(variant)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export = seconds(lambda: write_graphs(network, variant.side, folder))
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        print(f"\n{variant.name}: exported in {export[0]:.1f} ({export[1]:.1f}) s, {size:.0f} MB")
        answering: dict[str, Decoding] = {"torch": network}
        for runtime in ("onnx", "openvino"):
            answering[runtime] = ExportedNetwork(folder, runtime, efficient=network.efficient)
        image = torch.randn(1, 3, variant.side, variant.side, generator=torch.Generator().manual_seed(0))
        report("look at a window", {k: lambda n=n: n.embed(image) for k, n in answering.items()}, rounds)
        features = {k: n.prepare(n.embed(image)) for k, n in answering.items()}
        for count in PROMPTS:
            asked = Questions(torch.rand(count, 1, 2) * variant.side, torch.ones(count, 1, dtype=torch.int64))
            tasks = {
                k: lambda n=n, k=k, a=asked: n.decode(features[k], a, ambiguous=True) for k, n in answering.items()
            }
            report(f"{count} points", tasks, rounds)
        asked = Questions(torch.rand(64, 1, 2) * variant.side, torch.ones(64, 1, dtype=torch.int64))
        reference = network.decode(features["torch"], asked, ambiguous=True)[0]
        for runtime in ("onnx", "openvino"):
            logits = answering[runtime].decode(features[runtime], asked, ambiguous=True)[0]
            same = ((logits > 0) == (reference > 0)).double().mean()
            print(
                f"  {runtime}: logits differ by up to {(logits - reference).abs().max():.1e} "
                f"(deviation {reference.std():.1f}), {100 * same:.4f} % on the same side of 0"
            )


def random_network(variant: Variant) -> Network:
    torch.manual_seed(0)
    network = Network(variant)
    network.prompt_encoder.pe_layer.get_buffer("positional_encoding_gaussian_matrix").normal_()
    network.eval().requires_grad_(False).fold()
    return network


def report(what: str, tasks: dict[str, Callable[[], object]], rounds: int) -> None:
    for task in tasks.values():
        task()  # the first time is for compiling and allocating
    taken = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            taken[name].append(seconds(task))
    best = {name: tuple(min(column) for column in zip(*rows, strict=True)) for name, rows in taken.items()}
    parts = [f"{k} {cpu:.3f} ({wall:.3f}), {best['torch'][0] / cpu:.2f} x" for k, (cpu, wall) in best.items()]
    print(f"  {what}: {' | '.join(parts)}", flush=True)


def seconds(task: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    task()
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
