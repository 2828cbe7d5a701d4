"""A job: an image, a model, and how the one looks at the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from promptile import __version__, models
from promptile.engine.embedder import Embedder
from promptile.engine.lattice import Tiling
from promptile.engine.objects import Grower
from promptile.engine.respaced import respaced
from promptile.engine.slices import SliceGrower, Slices, with_memory
from promptile.engine.views import look
from promptile.errors import ModelError, UsageError
from promptile.grid import Window
from promptile.models.protocols import Model, ModelCard, Promptable, View
from promptile.prompts.prompts import Prompts
from promptile.rendering import Rendering
from promptile.sources import Source, open_source
from promptile.sources.plane import Plane

_SHARE = {2: 8, 3: 4}
"""For everything, neighbouring tiles share one part in so many, by the number of axes."""


@dataclass(frozen=True, eq=False)
class Job:
    """An image, a model, and how the one looks at the other; `prepare` checks that they fit.

    Can be pickled if image and model can: sources are opened again where they arrive.
    """

    source: Source
    model: Model
    rendering: Rendering
    size: tuple[int, ...]
    overlap: tuple[int, ...]
    slices: Slices | None = None
    """How a model for images looks at a volume; its windows are those of a slice."""

    @classmethod
    def prepare(
        cls,
        image: Any,
        model: str | Model,
        *,
        tiling: Tiling | None = None,
        everything: bool = False,
        channels: Sequence[int] | None = None,
        window: str | tuple[float, float] = "auto",
        slices: Slices | None = None,
    ) -> Job:
        """Open an image and load a model; see `promptile.segment` for what the arguments mean.

        Windows share less where everything is asked for: each is answered as a whole.
        """
        source = open_source(image)
        ndim = source.grid.ndim
        asked = None if slices is None else slices.of(source.grid)
        found = _loaded(model, ndim if asked is None else 2)
        if found.card.ndim == 2 and ndim == 3:
            asked = asked or Slices().of(source.grid)
        _check_fits(found, ndim, asked, everything=everything)
        found = respaced(found, spacing_of(source, asked))
        rendering = Rendering.of(source, channels=channels, window=window, limit=found.card.channels)
        share = _SHARE[ndim] if everything else 2
        size, overlap = (tiling or Tiling()).resolve(found.card.ndim, found.card.window, share=share)
        return cls(source, found, rendering, size, overlap, asked)

    @property
    def spec(self) -> dict[str, Any]:
        """What decides the result, beside what is asked; JSON-able."""
        said = {} if self.slices is None else {"slices": self.slices.to_json()}
        return said | {
            "promptile": __version__,
            "image": dict(self.source.identity),
            "grid": asdict(self.source.grid),
            "rendering": self.rendering.to_json(),
            "model": {"name": self.model.card.name, "digest": self.model.card.digest},
            "tiling": {"size": self.size, "overlap": self.overlap},
        }

    @property
    def place(self) -> dict[str, Any]:
        """What `promptile.open` needs to open the image again; empty if it has no path."""
        return dict(getattr(self.source, "place", {}))

    def grower(self, level: int | None = None) -> Grower:
        """What turns prompts into objects; `level` is where points are asked."""
        self.check_level(level)
        if self.slices is not None:
            tiling = self.size, self.overlap
            return SliceGrower(self.source, self.rendering, self._promptable, tiling, self.slices, level)
        return Grower(Embedder(self.source, self.rendering, self._promptable), self.size, self.overlap, level)

    @property
    def planes(self) -> list[Job]:
        """One job per image that the model looks at: the image, or each slice of a volume."""
        if self.slices is None:
            return [self]
        axis = int(self.slices.axis)
        planes = [Plane(self.source, axis, index) for index in range(self.source.grid.shape[axis])]
        return [replace(self, source=plane, slices=None) for plane in planes]

    def view(self, window: Window, level: int) -> View:
        """What the model sees of a window of a level."""
        return look(self.source, self.rendering, self.model.card, window, level)

    def check_level(self, level: int | None) -> None:
        """Raise UsageError if the image does not have this level."""
        if level is not None and not 0 <= level < len(self.source.levels):
            raise UsageError(f"Level {level} does not exist: the image has levels 0 to {len(self.source.levels) - 1}")

    def check_prompts(self, prompts: Prompts) -> None:
        """Raise ModelError if a prompt is of a kind that the model does not take."""
        card = self._promptable.card
        for prompt in prompts:
            for ability in prompt.kind.split("+"):
                if ability not in card.abilities:
                    can = ", ".join(sorted(card.abilities))
                    raise ModelError(
                        f"Model {card.name!r} cannot take a {ability} prompt (object {prompt.id}); it takes: {can}"
                    )

    @property
    def _promptable(self) -> Promptable:
        if not isinstance(self.model, Promptable):
            raise ModelError(
                f"Model {self.model.card.name!r} cannot answer prompts: it needs the methods embed and predict"
            )
        return self.model


def spacing_of(source: Source, slices: Slices | None) -> tuple[float, ...]:
    """Between samples of what a model is shown: the image, or a slice of a volume."""
    spacing = source.grid.spacing
    return spacing if slices is None else tuple(np.delete(spacing, int(slices.axis)).tolist())


def _loaded(model: str | Model, ndim: int) -> Model:
    found = models.load(model, ndim) if isinstance(model, str) else model
    if not isinstance(getattr(found, "card", None), ModelCard):
        raise ModelError(f"{found!r} is no model: it needs a ModelCard `card`, and methods for what it can do")
    return found


def _check_fits(model: Model, ndim: int, slices: Slices | None, *, everything: bool) -> None:
    """Refuse what a model cannot do with an image of so many axes."""
    card = model.card
    if slices is None:
        if card.ndim != ndim:
            raise ModelError(
                f"Model {card.name!r} takes {card.ndim}D images and this one is {ndim}D: choose another --model"
            )
        return
    if card.ndim != 2:
        raise ModelError(
            f"Model {card.name!r} takes volumes as a whole: leave axis, planes and memory out, or choose another"
        )
    if everything:
        raise ModelError(
            f"Model {card.name!r} takes 2D images, and everything in a volume needs one that takes volumes: "
            "use prompts, or choose another --model"
        )
    if slices.memory:
        with_memory(model)
    if not isinstance(model, Promptable):
        raise ModelError(
            f"Model {card.name!r} takes 2D images and no prompts, and this one is {ndim}D: choose another --model"
        )
