"""SAM 3: all objects of a concept, boxes and masks together; each phrase is a question of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from promptile.models.detectors.boxes import Found, scaled
from promptile.models.detectors.model import Finder
from promptile.models.pictures import Picture, resized
from promptile.models.protocols import Thresholds

_MASK = 0.5
"""Least probability of a mask's pixel."""


@dataclass(frozen=True, eq=False)
class Concept:
    """A phrase as the network reads it."""

    features: Any
    mask: Tensor


class Sam3(Finder[list[Concept]]):
    """Finds and draws what phrases say.

    A score is the probability of an object times that of the concept being in the image at all.
    """

    colours = ((0.5,) * 3, (0.5,) * 3)

    def _image(self, picture: Picture) -> Tensor:
        side = self._network.config.image_size
        return self._normal(resized(picture, (side, side), "bilinear"))

    def _asked(self, phrases: Sequence[str]) -> list[Concept]:
        length = self._network.config.text_config.max_position_embeddings
        words = self._snapshot.words([phrase.strip() for phrase in phrases], length)
        each = ((words.ids[i : i + 1], words.mask[i : i + 1]) for i in range(len(phrases)))
        return [
            Concept(self._network.get_text_features(input_ids=ids, attention_mask=mask, return_dict=True), mask)
            for ids, mask in each
        ]

    def _find(
        self, images: Tensor, shape: tuple[int, int], question: list[Concept], thresholds: Thresholds
    ) -> list[Found]:
        found = []
        for image in images:  # a window's maps take 0.2 GB
            seen = self._network.get_vision_features(pixel_values=image[None])
            found.append(
                reduce(add, (self._ask(seen, i, one, shape, thresholds.box) for i, one in enumerate(question)))
            )
        return found

    def _ask(self, seen: Any, phrase: int, concept: Concept, shape: tuple[int, int], least: float) -> Found:
        """What one image shows of one concept."""
        said = self._network(vision_embeds=seen, text_embeds=concept.features, attention_mask=concept.mask)
        scores = (said.pred_logits.sigmoid() * said.presence_logits.sigmoid())[0]
        kept = scores > least
        masks = torch.zeros(0, *shape, dtype=torch.bool, device=scores.device)
        if kept.any():
            likely = said.pred_masks[:, kept].sigmoid()
            masks = functional.interpolate(likely, shape, mode="bilinear", align_corners=False)[0] > _MASK
        corners = scaled(said.pred_boxes[0][kept], shape)
        return Found(corners, scores[kept], torch.full_like(scores[kept], phrase, dtype=torch.long), masks)
