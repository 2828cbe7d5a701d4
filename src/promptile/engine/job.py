"""A job: an image, a model, and how the one looks at the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from promptile import __version__, models
from promptile.engine.embedder import Embedder
from promptile.engine.lattice import Tiling
from promptile.engine.objects import Grower
from promptile.engine.views import look
from promptile.errors import ModelError, UsageError
from promptile.grid import Window
from promptile.models.protocols import Model, ModelCard, Promptable, View
from promptile.prompts.types import Prompts
from promptile.rendering import Rendering
from promptile.sources import Source, open_source

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
    ) -> Job:
        """Open an image and load a model; see `promptile.segment` for what the arguments mean.

        Windows share less where everything is asked for: each is answered as a whole.
        """
        source = open_source(image)
        found = _loaded(model, source.grid.ndim)
        rendering = Rendering.of(source, channels=channels, window=window, limit=found.card.channels)
        share = _SHARE[source.grid.ndim] if everything else 2
        size, overlap = (tiling or Tiling()).resolve(source.grid.ndim, found.card.window, share=share)
        return cls(source, found, rendering, size, overlap)

    @property
    def spec(self) -> dict[str, Any]:
        """What decides the result, beside what is asked; JSON-able."""
        return {
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
        return Grower(Embedder(self.source, self.rendering, self._promptable), self.size, self.overlap, level)

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


def _loaded(model: str | Model, ndim: int) -> Model:
    found = models.load(model, ndim) if isinstance(model, str) else model
    if not isinstance(getattr(found, "card", None), ModelCard):
        raise ModelError(f"{found!r} is no model: it needs a ModelCard `card`, and methods for what it can do")
    if found.card.ndim != ndim:
        raise ModelError(
            f"Model {found.card.name!r} takes {found.card.ndim}D images and this one is {ndim}D: choose another --model"
        )
    return found
