"""`FastSam`: the network as a model that finds everything, and answers prompts from what it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models.fastsam.instances import Seen, instances_of, tight
from promptile.models.fastsam.letterbox import Letterbox
from promptile.models.fastsam.network import Network
from promptile.models.fastsam.selection import by_text, select
from promptile.models.fastsam.variants import Variant
from promptile.models.protocols import Embedding, Masks, ModelCard, Proposal, Ranker, View, WindowPrompt
from promptile.models.weights import digest

_VERSION = "fastsam-1"
"""Of this code: it changes when answers do."""


class Net(Protocol):
    """What is asked of a network; see `Network`."""

    @property
    def side(self) -> int: ...
    @property
    def device(self) -> str: ...
    def run(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...


class FastSam:
    """Segments all instances of a window at once; points, boxes and text choose among them.

    Parameters
    ----------
    variant : Variant
    network : Net
    digest : str
        Of the weights.
    """

    def __init__(self, variant: Variant, network: Net, digest: str) -> None:
        self.card = ModelCard(
            name=variant.name,
            family=variant.family,
            abilities=frozenset({"points", "box", "propose"}),
            ndim=2,
            channels=3,
            window=(network.side, network.side),
            licence=variant.licence,
            device=network.device.partition(":")[0],
            digest=digest,
        )
        self._network = network
        self._again: Callable[[], FastSam] | None = None

    @classmethod
    def load(cls, variant: Variant, path: Path, device: str = "auto") -> FastSam:
        """The model with the weights of an export.

        Raises
        ------
        ModelError
            If the device is not there or the file does not hold this model.
        """
        model = cls(variant, Network(variant, path, device), f"{_VERSION} {digest(path)}")
        model._again = partial(cls.load, variant, path, device)
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the weights themselves."""
        if self._again is None:
            raise ModelError(f"Model {self.card.name!r} was not loaded from a file and cannot be sent to a worker")
        return self._again, ()

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        sights = [self._see(view) for view in views]
        return [Embedding(seen, self.card.digest, seen.nbytes) for seen in sights]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        return select(embedding.content, prompt)

    def propose(self, view: View) -> list[Proposal]:
        found = []
        for instance in self._see(view).instances:
            mask = instance.samples & view.valid[instance.window.slices]
            if mask.any():
                found.append(Proposal(*tight(instance.window, mask), instance.score))
        return found

    def shade(self, view: View) -> Iterator[tuple[Window, NDArray[np.float32], float]]:
        """Each instance's window, its logits there, and its score."""
        seen = self._see(view)
        for instance in seen.instances:
            yield instance.window, seen.logits(instance), instance.score

    def find(self, view: View, phrase: str, ranker: Ranker) -> tuple[Proposal, float] | None:
        """The instance that a phrase describes best, by FastSAM's rule, and how much better than the others.

        Parameters
        ----------
        view : View
        phrase : str
        ranker : Ranker

        Returns
        -------
        (Proposal, float), optional
            The instance and its share in a softmax over all instances; None if there is no instance.
        """
        picture = self._colours(view)
        best = by_text(self._see(view).instances, picture, phrase, ranker)
        if best is None:
            return None
        instance, share = best
        return Proposal(instance.window, instance.samples, instance.score), share

    def _see(self, view: View) -> Seen:
        rows, columns = view.shape
        frame = Letterbox((rows, columns), self._network.side)
        return instances_of(*self._network.run(frame.image(self._colours(view))), frame)

    def _colours(self, view: View) -> NDArray[np.float32]:
        """``(3, *shape)``: a view as the network sees it; grey is shown in all three channels."""
        if len(view.samples) not in (1, 3):
            raise ModelError(f"Model {self.card.name!r} takes 1 or 3 channels, not {len(view.samples)}: use --channels")
        shown = np.clip(view.samples, 0, 1).astype(np.float32, copy=False)
        return np.broadcast_to(shown, (3, *view.shape))
