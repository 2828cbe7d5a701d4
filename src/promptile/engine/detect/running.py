"""The order of it all: look at every level, merge, and make prompts of what was found."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from promptile.engine.detect.findings import Findings
from promptile.engine.detect.kept import findings_of, masks_of
from promptile.engine.detect.prompting import Wish, wishes, within
from promptile.engine.detect.search import Search
from promptile.engine.detect.tiles import detect_tiles
from promptile.engine.execute.protocol import Executor
from promptile.engine.job import Job
from promptile.engine.progress import Progress
from promptile.errors import ModelError
from promptile.models.protocols import ModelCard, Promptable
from promptile.prompts.prompts import Prompts
from promptile.run import PromptedRun
from promptile.run.detections import claim, keep_failed


def check_promptable(job: Job) -> None:
    """Raise ModelError if the model cannot draw what a box holds."""
    card = job.model.card
    if not isinstance(job.model, Promptable) or "box" not in card.abilities:
        can = ", ".join(sorted(card.abilities))
        raise ModelError(
            f"Model {card.name!r} cannot take a box, and text finds boxes; it takes: {can}: choose another --model"
        )


def spec_of(search: Search, said: Prompts) -> dict[str, Any]:
    """What a run says under ``text``."""
    told = [said.to_json(), said.denied.tolist()]
    prompts = sha256(json.dumps(told).encode()).hexdigest() if any(told) else None
    least = search.asked.thresholds(search.detector.card)
    return search.spec | {"box_threshold": least.box, "text_threshold": least.text, "prompts": prompts}


def find(run: PromptedRun, search: Search, executor: Executor, progress: Progress) -> Findings:
    """Look at all tiles that were not looked at yet, the coarsest level first."""
    spec = {"image": run.spec["image"], "grid": run.spec["grid"], **search.spec}
    claim(run.folder, spec | {"floor": search.asked.deepest(search.detector.card).box})
    failed = [
        failure
        for store in reversed(search.stores(run.folder))
        for failure in detect_tiles(store, search, executor, progress)
    ]
    keep_failed(run.folder, failed)
    return findings_of(run)


def prompts_from(run: PromptedRun, findings: Findings, search: Search, said: Prompts, card: ModelCard) -> list[Wish]:
    """What a promptable model is to be asked."""
    found = within(findings.objects(), search.areas)
    drawn = masks_of(run, findings, found.rows.tolist()) if "mask" in card.abilities else {}
    masks = {n: drawn[row] for n, row in enumerate(found.rows.tolist()) if row in drawn}
    return wishes(found, said, masks, flat=card.ndim == 2)
