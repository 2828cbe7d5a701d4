"""`Reader`: what networks of `transformers` that are asked with texts have in common, whatever they answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from promptile.errors import ModelError
from promptile.models.devices import device_of
from promptile.models.hosted import Hosted
from promptile.models.pictures import Picture
from promptile.models.protocols import ModelCard
from promptile.models.snapshots import Snapshot, load_snapshot

Kind = TypeVar("Kind", bound=Hosted)
Question = TypeVar("Question")


class Reader(ABC, Generic[Kind, Question]):
    """A network that reads texts and looks at pictures.

    Parameters
    ----------
    variant : Hosted
    snapshot : Snapshot
        On the device where it computes.
    """

    def __init__(self, variant: Kind, snapshot: Snapshot) -> None:
        self.card = self._card(variant, snapshot)
        self._snapshot = snapshot
        self._network: Any = snapshot.network
        self._device = snapshot.device
        colours = self._colours(variant)
        self._mean, self._deviation = (torch.tensor(v, device=self._device)[:, None, None] for v in colours)
        self._last: tuple[tuple[str, ...], Question] | None = None
        self._again: Callable[[], Self] | None = None

    @classmethod
    def load(cls, variant: Kind, folder: Path, device: str = "auto") -> Self:
        """The model with the weights of a folder.

        Raises
        ------
        ModelError
            If the device is not there or the folder does not hold this model.
        """
        reader = cls(variant, load_snapshot(folder, variant.network, variant.types, device_of(device)))
        reader._again = partial(cls.load, variant, folder, device)
        return reader

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the weights themselves."""
        if self._again is None:
            raise ModelError(f"Model {self.card.name!r} was not loaded from a folder and cannot be sent to a worker")
        return self._again, ()

    @torch.inference_mode()
    def read(self, phrases: Sequence[str]) -> None:
        """Refuse texts that it cannot read."""
        self._question(phrases)

    def _question(self, phrases: Sequence[str]) -> Question:
        """What is asked; kept, as whole images are asked the same."""
        said, last = tuple(phrases), self._last
        if last is None or last[0] != said:
            last = self._last = (said, self._asked(said))
        return last[1]

    def _normal(self, pixels: Picture) -> Tensor:
        """``(3, rows, columns)``: pixels in the colours that the network knows."""
        held = torch.from_numpy(np.array(pixels)).to(self._device).permute(2, 0, 1)
        return (held.float() / 255 - self._mean) / self._deviation

    @abstractmethod
    def _card(self, variant: Kind, snapshot: Snapshot) -> ModelCard:
        """What it can do."""

    @abstractmethod
    def _colours(self, variant: Kind) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation that the network learnt with."""

    @abstractmethod
    def _asked(self, phrases: Sequence[str]) -> Question:
        """Texts as the network is asked with them."""
