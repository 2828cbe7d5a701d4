"""What images, runs and models are, as plain values to print or to send as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from promptile import models
from promptile.counts import counted
from promptile.models.published import all_published
from promptile.models.weights import located
from promptile.run import PromptedRun, Run
from promptile.sources.protocol import Source


def describe_image(source: Source) -> dict[str, Any]:
    """Facts about an image; nothing but headers is read."""
    grid = source.grid
    corners = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape], indexing="ij"), -1).reshape(-1, grid.ndim)
    world = grid.to_world(corners)
    return {
        "name": source.name,
        "shape": list(grid.shape),
        "dtype": str(source.dtype),
        "channels": list(source.channels),
        "space": grid.space,
        "spacing": list(grid.spacing),
        "bounds": [*world.min(axis=0).tolist(), *world.max(axis=0).tolist()],
        "nodata": None if source.nodata is None or np.isnan(source.nodata) else source.nodata,
        "modality": source.modality,
        "levels": [list(factors) for factors in source.levels],
    }


def describe_run(run: Run) -> dict[str, Any]:
    """How far a run has come and what is in it."""
    objects = run.objects
    return {
        "run": str(run.path),
        "image": run.spec["image"].get("name", ""),
        "model": run.spec["model"]["name"],
        "asked": _asked(run),
        "finished": run.finished,
        "waiting": run.waiting,
        "objects": len(objects),
        "open_edge": int(objects["open_edge"].sum()),
        "failed": [failure.to_json() for failure in run.failed],
    }


def _asked(run: Run) -> str:
    """What was wanted, and what was done by hand since."""
    if not isinstance(run, PromptedRun):
        return "everything"
    steps = run.journal.done
    parts = [
        f"text: {', '.join(run.spec['text']['phrases'])}" if "text" in run.spec else "",
        counted(len(run.prompts), "prompt") if run.prompts or not steps else "",
        f"{counted(steps, 'step')} by hand" if steps else "",
    ]
    return ", ".join(part for part in parts if part)


def describe_model(name: str) -> dict[str, Any]:
    """What a model can do and costs, and where its weights are; nothing is loaded if that is known without."""
    wanted = all_published().get(name)
    here = located(wanted) if wanted is not None else None
    if wanted is not None and (here is None or wanted.facts is not None):
        source = f" --from {wanted.file}, made by: {wanted.recipe}" if wanted.recipe else ""
        return {
            "name": name,
            **({"family": wanted.facts.family} if wanted.facts else {}),
            **({"abilities": list(wanted.abilities)} if wanted.abilities else {}),
            **(wanted.facts.describe() if wanted.facts else {}),
            "weights": str(here) if here else f"not here: promptile models fetch {name}{source}",
            "file": wanted.file,
            "url": wanted.url,
            "licence": wanted.licence,
            "terms": wanted.terms,
        }
    cards = [models.load(name, ndim).card for ndim in (2, 3)]
    card = cards[0]
    return {
        "name": card.name,
        "family": card.family,
        "abilities": sorted(card.abilities),
        "images": "2D and 3D" if {c.ndim for c in cards} == {2, 3} else f"{card.ndim}D",
        "licence": card.licence,
        "device": card.device,
        "digest": [c.digest for c in cards],
    }


def weights_here(name: str) -> bool | None:
    """Whether a model's weights are where they are looked for; None if it has none."""
    wanted = all_published().get(name)
    return None if wanted is None else located(wanted) is not None
