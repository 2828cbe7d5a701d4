"""`Ranking`: CLIP or SigLIP 2 as a model that tells how well texts describe pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from promptile.models.computing import Batches
from promptile.models.pictures import in_steps, resized, squared
from promptile.models.protocols import ModelCard
from promptile.models.rankers.variants import Variant
from promptile.models.readers import Reader
from promptile.models.snapshots import Snapshot

_VERSION = "rankers-1"
"""Of this code: it changes when answers do."""
_TOGETHER = 16
"""Pictures looked at together."""


@dataclass(frozen=True)
class Habits:
    """How a kind of network was taught."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    filter: Literal["bilinear", "bicubic"]
    lower: bool
    """Texts in lower case only; CLIP's tokenizer sees to it by itself."""
    filled: bool
    """Texts always filled up to the same length, and the filling is read too."""


_HABITS = {
    "clip": Habits(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "bicubic", lower=False, filled=False
    ),
    "siglip": Habits((0.5,) * 3, (0.5,) * 3, "bilinear", lower=True, filled=True),
}


class Ranking(Reader[Variant, Tensor]):
    """Tells how well texts describe pictures.

    Answers are logits as the network was taught with: of CLIP 100 times the cosine of the angle between picture and
    text, of SigLIP 2 with its own scale and bias.

    Parameters
    ----------
    variant : Variant
    snapshot : Snapshot
        On the device where it computes.
    """

    def __init__(self, variant: Variant, snapshot: Snapshot) -> None:
        super().__init__(variant, snapshot)
        self._habits = _HABITS[variant.kind]
        self._seeing = Batches(variant.name, self._device, _TOGETHER)

    def _card(self, variant: Variant, snapshot: Snapshot) -> ModelCard:
        side = int(snapshot.network.config.vision_config.image_size)
        return ModelCard(
            name=variant.name,
            family=variant.family,
            abilities=frozenset({"rank"}),
            ndim=2,
            channels=3,
            window=(side, side),
            licence=variant.licence,
            device=snapshot.device.type,
            digest=f"{_VERSION} {snapshot.digest}",
        )

    def _colours(self, variant: Variant) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return _HABITS[variant.kind].mean, _HABITS[variant.kind].deviation

    @torch.inference_mode()
    def rank(self, pictures: Sequence[NDArray[np.float32]], phrases: Sequence[str]) -> NDArray[np.float32]:
        if not pictures or not phrases:
            return np.zeros((len(pictures), len(phrases)), np.float32)
        texts = self._question(phrases)
        scale = self._network.logit_scale.exp()
        bias = getattr(self._network, "logit_bias", 0)
        seen = torch.stack(self._seeing.each(pictures, self._look))
        logits: NDArray[np.float32] = (seen @ texts.T * scale + bias).cpu().numpy()
        return logits

    def _look(self, pictures: Sequence[NDArray[np.float32]]) -> list[Tensor]:
        """``(width,)``: what the network makes of each picture, of length 1."""
        images = torch.stack([self._image(picture) for picture in pictures])
        seen = self._network.get_image_features(pixel_values=images).pooler_output
        return list(functional.normalize(seen, dim=-1))

    def _image(self, picture: NDArray[np.float32]) -> Tensor:
        """``(3, side, side)``: a picture in the middle of a white square, as the network sees it."""
        rows, columns = self.card.window
        return self._normal(resized(squared(in_steps(picture)), (rows, columns), self._habits.filter))

    def _asked(self, phrases: Sequence[str]) -> Tensor:
        """``(phrases, width)``: of length 1."""
        said = [phrase.strip().lower() if self._habits.lower else phrase.strip() for phrase in phrases]
        length = self._network.config.text_config.max_position_embeddings
        words = self._snapshot.words(said, length, fill=self._habits.filled)
        mask = None if self._habits.filled else words.mask
        found = self._network.get_text_features(input_ids=words.ids, attention_mask=mask).pooler_output
        return functional.normalize(found, dim=-1)
