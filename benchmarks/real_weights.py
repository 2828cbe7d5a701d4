"""How well models with trained weights answer 2D prompts: mean IoU, as markdown tables.

``python benchmarks/real_weights.py --model mobile-sam --weights mobile_sam.pt`` measures one model; without ``--model``
all whose weights are here. Each object is asked for twice: of the model itself, in a window around the object, and
of Promptile, in tiles over the whole image. Both should be equally good.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import clicks
import numpy as np
from quality import BOX_CLICKS, CLICKS, Dialogue, iou, talk
from truths import SETS, Case, cases

from promptile import models
from promptile.engine.job import Job
from promptile.engine.lattice import Tiling
from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.protocols import Promptable
from promptile.prompts.types import Prompt
from promptile.report import weights_here

TILES = (1024, 512, 256)
TURNS = {"box": BOX_CLICKS, "click": CLICKS}

Answer = Callable[[Case], Dialogue]


def directly(model: Promptable, box: bool) -> Answer:
    """Ask the model itself, in a window around the object."""

    def answer(case: Case) -> Dialogue:
        job = _job(model, case.image, None)
        ask = partial(job.grower().embedder.predict, case.window, 0)
        return talk(ask, case.truth, TURNS[_kind(box)][-1], box=box)

    return answer


def in_tiles(model: Promptable, side: int, box: bool) -> Answer:
    """Ask Promptile, which knows nothing but the image and the prompt."""

    def answer(case: Case) -> Dialogue:
        grower = _job(model, case.image, side).grower()
        truth = np.zeros(grower.lattices[0].shape, bool)
        truth[case.window.slices] = case.truth
        points = [] if box else [clicks.innermost(truth)]
        labels = [True] * len(points)
        frame = clicks.box(truth) if box else None
        ious: list[float] = []
        turns = TURNS[_kind(box)][-1]
        for _ in range(turns + 1):
            prompt = Prompt(1, np.reshape(points, (-1, 2)).astype(float), np.array(labels, bool), frame)
            found = grower.grow(prompt).mask.read(Window.of(truth.shape))
            ious.append(iou(found, truth))
            mistake = clicks.correction(truth, found)
            if mistake is None:
                break
            points.append(mistake[0])
            labels.append(mistake[1])
        return Dialogue(ious + [1.0] * (turns + 1 - len(ious)), ious[0], [])

    return answer


@lru_cache(maxsize=2)
def _job(model: Promptable, image: Path, side: int | None) -> Job:
    return Job.prepare(image, model, tiling=None if side is None else Tiling(side))


def _kind(box: bool) -> str:
    return "box" if box else "click"


def report(model: Promptable, chosen: dict[str, list[Case]], tiles: tuple[int, ...]) -> Iterator[str]:
    """The lines of a model's table."""
    columns = [f"{name} ({len(found)})" for name, found in chosen.items()]
    yield f"| {model.card.name} | " + " | ".join(columns) + " | mean |"
    yield "|---|" + "---|" * (len(columns) + 1)
    for box in (True, False):
        ways = {"": directly(model, box)} | {f", tiles of {side}": in_tiles(model, side, box) for side in tiles}
        for name, answer in ways.items():
            found = {column: [answer(case) for case in some] for column, some in chosen.items()}
            for turn in TURNS[_kind(box)]:
                yield _row(_label(box, turn) + name, [[d.ious[turn] for d in some] for some in found.values()])
            if not box and not name:
                yield _row("the best of its answers to one click", [[d.best for d in some] for some in found.values()])


def _label(box: bool, turn: int) -> str:
    if box:
        return "box" if not turn else f"box + {turn} clicks"
    return "one click" if not turn else f"{turn + 1} clicks in all"


def _row(name: str, values: list[list[float]]) -> str:
    means = [float(np.mean(v)) for v in values]
    return f"| {name} | " + " | ".join(f"{m:.3f}".lstrip("0") for m in [*means, float(np.mean(means))]) + " |"


def wanted(name: str | None, weights: Path | None) -> Iterator[Promptable]:
    """The model that was named, or all promptable ones for images whose weights are here."""
    for known in [name] if name else models.names():
        if name is None and weights_here(known) is False:
            continue
        try:
            model = models.load(known, 2, weights=weights)
        except ModelError as error:
            if name:
                raise
            print(f"{known} is left out: {error}\n")
            continue
        if isinstance(model, Promptable):
            yield model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="default: every model whose weights are here")
    parser.add_argument("--weights", type=Path, help="the weights file of --model")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--half", choices=("tune", "report", "all"), default="report")
    parser.add_argument("--set", nargs="+", dest="sets", choices=tuple(SETS), default=list(SETS))
    parser.add_argument("--most", type=int, default=10**9, help="objects per set at most, spread evenly")
    parser.add_argument("--tiles", nargs="*", type=int, default=list(TILES), help="sides of tiles")
    options = parser.parse_args()
    chosen: dict[str, list[Case]] = {}
    for name in options.sets:
        found = list(cases(options.data, name, options.half))
        chosen[name] = found[:: max(1, -(-len(found) // options.most))]
    for model in wanted(options.model, options.weights):
        for line in report(model, chosen, tuple(options.tiles)):
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
