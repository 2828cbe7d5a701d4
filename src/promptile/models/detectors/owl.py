"""OWLv2: each cell of an image proposes a box and is compared with each phrase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from promptile.models.detectors.boxes import Found, corners_of, scaled
from promptile.models.detectors.model import Finder
from promptile.models.detectors.resampling import resampling
from promptile.models.pictures import Picture
from promptile.models.protocols import Thresholds

_TOGETHER = 64
"""Phrases read together."""


class Owlv2(Finder[Tensor]):
    """Finds boxes that look like phrases; each is about the phrase that it looks like most."""

    colours = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

    def _image(self, picture: Picture) -> Tensor:
        """A picture in the upper left of a black square."""
        side, pixels = max(picture.shape[:2]), self._network.config.vision_config.image_size
        rows, columns = (torch.from_numpy(resampling(side, pixels)[:, :n]).to(self._device) for n in picture.shape[:2])
        held = torch.from_numpy(np.array(picture)).to(self._device).permute(2, 0, 1).float() / 255
        return (rows @ held @ columns.T - self._mean) / self._deviation

    def _asked(self, phrases: Sequence[str]) -> Tensor:
        """``(phrases, width)``: what the network makes of each."""
        length = self._network.config.text_config.max_position_embeddings
        words = self._snapshot.words([phrase.strip() for phrase in phrases], length)
        parts = [slice(i, i + _TOGETHER) for i in range(0, len(phrases), _TOGETHER)]
        features = [
            self._network.owlv2.get_text_features(input_ids=words.ids[part], attention_mask=words.mask[part])
            for part in parts
        ]
        return functional.normalize(torch.cat([each.pooler_output for each in features]), dim=-1)

    def _find(self, images: Tensor, shape: tuple[int, int], question: Tensor, thresholds: Thresholds) -> list[Found]:
        cells, _ = self._network.image_embedder(pixel_values=images)
        flat = cells.flatten(1, 2)
        logits, _ = self._network.class_predictor(flat, question.expand(len(images), -1, -1))
        scores, phrases = logits.sigmoid().max(-1)
        side = max(shape)
        corners = scaled(corners_of(self._network.box_predictor(flat, cells)), (side, side))
        kept = scores > thresholds.box
        return [Found(corners[i][kept[i]], scores[i][kept[i]], phrases[i][kept[i]]) for i in range(len(images))]
