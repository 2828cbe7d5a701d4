"""`Finder`: what all detectors have in common; each kind adds how it sees, is asked and answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from promptile.errors import ModelError
from promptile.models.computing import Batches
from promptile.models.detectors.boxes import Found, detections_of
from promptile.models.detectors.variants import Variant
from promptile.models.devices import device_of
from promptile.models.pictures import Picture, picture_of
from promptile.models.protocols import Detections, ModelCard, Thresholds, View
from promptile.models.snapshots import Snapshot, load_snapshot

_VERSION = "detectors-1"
"""Of this code: it changes when answers do."""
_TOGETHER = {"cuda": 4}
"""Views looked at together; elsewhere one at a time, which is as fast and takes less memory."""

Question = TypeVar("Question")


class Finder(ABC, Generic[Question]):
    """Finds what phrases say, by a network of `transformers`.

    Parameters
    ----------
    variant : Variant
    snapshot : Snapshot
        On the device where it computes.
    """

    colours: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]
    """Mean and deviation that the network learnt with."""

    def __init__(self, variant: Variant, snapshot: Snapshot) -> None:
        self.card = ModelCard(
            name=variant.name,
            family=variant.family,
            abilities=frozenset({"text"}),
            ndim=2,
            channels=3,
            window=(variant.side, variant.side),
            thresholds=variant.thresholds,
            licence=variant.licence,
            device=snapshot.device.type,
            digest=f"{_VERSION} {snapshot.digest}",
        )
        self._snapshot = snapshot
        self._network: Any = snapshot.network
        self._device = snapshot.device
        self._mean, self._deviation = (torch.tensor(v, device=self._device)[:, None, None] for v in self.colours)
        self._seeing = Batches(variant.name, self._device, _TOGETHER.get(self._device.type, 1))
        self._last: tuple[tuple[str, ...], Question] | None = None
        self._again: Callable[[], Self] | None = None

    @classmethod
    def load(cls, variant: Variant, folder: Path, device: str = "auto") -> Self:
        """The model with the weights of a folder.

        Raises
        ------
        ModelError
            If the device is not there or the folder does not hold this model.
        """
        finder = cls(variant, load_snapshot(folder, variant.network, variant.types, device_of(device)))
        finder._again = partial(cls.load, variant, folder, device)
        return finder

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the weights themselves."""
        if self._again is None:
            raise ModelError(f"Model {self.card.name!r} was not loaded from a folder and cannot be sent to a worker")
        return self._again, ()

    @torch.inference_mode()
    def detect(self, views: Sequence[View], phrases: Sequence[str], thresholds: Thresholds) -> list[Detections]:
        if not phrases:
            raise ModelError(f"Model {self.card.name!r} was asked for nothing: give it a text to look for")
        question = self._question(tuple(phrases))
        pictures = [picture_of(view, self.card.name) for view in views]
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)  # so nothing depends on what is seen beside it
        for i, picture in enumerate(pictures):
            alike[picture.shape].append(i)
        answers: dict[int, Detections] = {}
        for members in alike.values():
            find = partial(self._detections, question, thresholds)
            answers |= zip(members, self._seeing.each([pictures[i] for i in members], find), strict=True)
        return [answers[i] for i in range(len(views))]

    @torch.inference_mode()
    def read(self, phrases: Sequence[str]) -> None:
        self._question(tuple(phrases))

    def _detections(self, question: Question, thresholds: Thresholds, pictures: Sequence[Picture]) -> list[Detections]:
        """What pictures of one shape show."""
        rows, columns, _ = pictures[0].shape
        images = torch.stack([self._image(picture) for picture in pictures])
        found = self._find(images, (rows, columns), question, thresholds)
        return [detections_of(one, (rows, columns)) for one in found]

    def _question(self, phrases: tuple[str, ...]) -> Question:
        """What is asked; kept, as whole images are asked the same."""
        last = self._last
        if last is None or last[0] != phrases:
            last = self._last = (phrases, self._asked(phrases))
        return last[1]

    def _normal(self, pixels: Picture) -> Tensor:
        """``(3, rows, columns)``: pixels in the colours that the network knows."""
        held = torch.from_numpy(np.array(pixels)).to(self._device).permute(2, 0, 1)
        return (held.float() / 255 - self._mean) / self._deviation

    @abstractmethod
    def _image(self, picture: Picture) -> Tensor:
        """``(3, rows, columns)``: a picture as the network sees it."""

    @abstractmethod
    def _asked(self, phrases: Sequence[str]) -> Question:
        """Phrases as the network is asked for them."""

    @abstractmethod
    def _find(self, images: Tensor, shape: tuple[int, int], question: Question, thresholds: Thresholds) -> list[Found]:
        """What images ``(n, 3, rows, columns)`` of views of a `shape` show."""
