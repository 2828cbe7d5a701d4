"""How objects are asked for: which model looks at the image, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from promptile import models
from promptile.engine.job import Job, spacing_of
from promptile.engine.objects import Grower
from promptile.engine.respaced import respaced
from promptile.engine.slices import SliceGrower, Slices, with_memory
from promptile.errors import ModelError
from promptile.models.protocols import Model, ModelCard
from promptile.rendering import Rendering
from promptile.sources.protocol import Source


@dataclass(frozen=True, eq=False)
class Setting:
    """A model, a rendering, a tiling and a level.

    Parameters
    ----------
    job : Job
    level : int, optional
        Where points are asked; default 0.
    checkpoint : callable
        Called between two windows; what it raises ends the work there.
    """

    job: Job
    level: int | None = None
    checkpoint: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.job.check_level(self.level)

    @property
    def card(self) -> ModelCard:
        return self.job.model.card

    @cached_property
    def grower(self) -> Grower:
        """What turns prompts into objects; what it has looked at stays in memory as long as it lives."""
        grower = self.job.grower(self.level)
        grower.embedder.checkpoint = self.checkpoint
        return grower

    def at(self, level: int | None) -> Setting:
        """The same at another level: what was looked at is not looked at again."""
        other = Setting(self.job, level, self.checkpoint)
        other.__dict__["grower"] = self.grower.at(level)
        return other

    def along(self, slices: Slices) -> Setting:
        """The same with slices that lie, or are followed, in another way; this one for a model that knows none."""
        before = self.job.slices
        if before is None:
            return self
        after = slices.of(self.job.source.grid)
        if after.memory:
            with_memory(self.job.model)
        job = replace(self.job, slices=after)
        other = Setting(job, self.level, self.checkpoint)
        grower = self.grower
        if isinstance(grower, SliceGrower) and replace(before, reach="both") == replace(after, reach="both"):
            other.__dict__["grower"] = grower.reaching(after)
        return other

    def to_json(self) -> dict[str, Any]:
        spec = self.job.spec
        said = {key: spec[key] for key in ("model", "rendering", "tiling", "slices") if key in spec}
        return said | {"level": self.level}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], source: Source, model: Model | None = None) -> Setting:
        """The setting that `to_json` gave, also after a way through a file; `model` if it has no name.

        Raises
        ------
        ModelError
            If the model is not installed, or answers differently today.
        """
        name, digest = stored["model"]["name"], stored["model"]["digest"]
        slices = Slices.from_json(stored["slices"]) if stored.get("slices") else None
        found = respaced(model or models.load(name, axes_of(stored, source)), spacing_of(source, slices))
        if found.card.digest != digest:
            raise ModelError(
                f"Model {name!r} is not the one that answered then (its digest was {digest[:12]}, now "
                f"{found.card.digest[:12]}): install that version of it and of its weights"
            )
        size, overlap = (tuple(stored["tiling"][key]) for key in ("size", "overlap"))
        rendering = Rendering.from_json(stored["rendering"])
        return cls(Job(source, found, rendering, size, overlap, slices), stored["level"])


def axes_of(stored: Mapping[str, Any], source: Source) -> int:
    """For images of how many axes the model of a setting is, from what `to_json` gave."""
    return 2 if stored.get("slices") else source.grid.ndim
