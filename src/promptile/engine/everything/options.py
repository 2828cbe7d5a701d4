"""What can be asked of a run of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from promptile.engine.flatten import LAYERS, Keep
from promptile.engine.job import Job
from promptile.engine.propose import GridParameters, proposer_of
from promptile.errors import UsageError
from promptile.prompts.area import Area


@dataclass(frozen=True)
class Everything:
    """Which objects are wanted, and how they are looked for.

    Parameters
    ----------
    keep : {"best", "whole", "part", "all"}
        What is kept of objects that hold one another: the better ones, the outermost, the innermost, or all of
        them as a hierarchy, with their ``parent`` in the table of objects.
    levels : sequence of int, or "auto"
        At which levels objects are looked for. Those too large for a tile at one level are found at a coarser one
        and drawn at the finest. ``auto``: as many as the image needs.
    area : Area, optional
        Objects are wanted only here.
    min_region : int
        Objects with fewer samples are left out.
    grid : GridParameters, optional
        How a grid of points is asked; a model that finds objects by itself is asked for them without it.
    """

    keep: Keep = "best"
    levels: Sequence[int] | Literal["auto"] = (0,)
    area: Area | None = None
    min_region: int = 0
    grid: GridParameters | None = None

    def __post_init__(self) -> None:
        if self.keep not in get_args(Keep):
            raise UsageError(f"keep={self.keep!r} is not known: use {', '.join(get_args(Keep))}")
        if self.min_region < 0:
            raise UsageError(f"An object of {self.min_region} samples cannot be: use 0 or more")

    @property
    def layers(self) -> int:
        """How many label images it takes."""
        return LAYERS if self.keep == "all" else 1

    def spec(self, job: Job) -> dict[str, Any]:
        """What decides the result, beside what `Job.spec` says; JSON-able.

        The levels come with their factors, the finest first. A grid of points is part of the proposer's digest.
        """
        return {
            "proposer": proposer_of(job.model, self.grid).card.digest,
            "keep": self.keep,
            "layers": self.layers,
            "levels": [[level, job.source.levels[level]] for level in self._levels(job)],
            "area": None if self.area is None else self.area.digest,
            "min_region": self.min_region,
        }

    def _levels(self, job: Job) -> list[int]:
        """The levels to look at, the finest first."""
        if self.levels != "auto":
            for level in self.levels:
                job.check_level(level)
            return sorted({0, *self.levels})
        chosen = [0]
        shapes = [job.source.grid.coarsen(factors).shape for factors in job.source.levels]
        while chosen[-1] + 1 < len(shapes) and any(n > s for n, s in zip(shapes[chosen[-1]], job.size, strict=True)):
            chosen.append(min(chosen[-1] + 2, len(shapes) - 1))
        return chosen
