"""`Finder`: what all detectors have in common; each kind adds how it sees, is asked and answers."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from promptile.errors import ModelError
from promptile.models.computing import Batches
from promptile.models.detectors.boxes import Found, detections_of
from promptile.models.detectors.variants import Variant
from promptile.models.pictures import Picture, picture_of
from promptile.models.protocols import Detections, ModelCard, Thresholds, View
from promptile.models.readers import Question, Reader
from promptile.models.snapshots import Snapshot

_VERSION = "detectors-1"
"""Of this code: it changes when answers do."""
_TOGETHER = {"cuda": 4}
"""Views looked at together; elsewhere one at a time, which is as fast and takes less memory."""


class Finder(Reader[Variant, Question]):
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
        super().__init__(variant, snapshot)
        self._seeing = Batches(variant.name, self._device, _TOGETHER.get(self._device.type, 1))

    def _card(self, variant: Variant, snapshot: Snapshot) -> ModelCard:
        return ModelCard(
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

    def _colours(self, variant: Variant) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.colours

    @torch.inference_mode()
    def detect(self, views: Sequence[View], phrases: Sequence[str], thresholds: Thresholds) -> list[Detections]:
        if not phrases:
            raise ModelError(f"Model {self.card.name!r} was asked for nothing: give it a text to look for")
        question = self._question(phrases)
        pictures = [picture_of(view, self.card.name) for view in views]
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)  # so nothing depends on what is seen beside it
        for i, picture in enumerate(pictures):
            alike[picture.shape].append(i)
        answers: dict[int, Detections] = {}
        for members in alike.values():
            find = partial(self._detections, question, thresholds)
            answers |= zip(members, self._seeing.each([pictures[i] for i in members], find), strict=True)
        return [answers[i] for i in range(len(views))]

    def _detections(self, question: Question, thresholds: Thresholds, pictures: Sequence[Picture]) -> list[Detections]:
        """What pictures of one shape show."""
        rows, columns, _ = pictures[0].shape
        images = torch.stack([self._image(picture) for picture in pictures])
        found = self._find(images, (rows, columns), question, thresholds)
        return [detections_of(one, (rows, columns)) for one in found]

    @abstractmethod
    def _image(self, picture: Picture) -> Tensor:
        """``(3, rows, columns)``: a picture as the network sees it."""

    @abstractmethod
    def _find(self, images: Tensor, shape: tuple[int, int], question: Question, thresholds: Thresholds) -> list[Found]:
        """What images ``(n, 3, rows, columns)`` of views of a `shape` show."""
