"""`Ranking`: CLIP or SigLIP 2 as a model that tells how well texts describe pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from promptile.errors import ModelError
from promptile.models.computing import Batches
from promptile.models.devices import device_of
from promptile.models.pictures import in_steps, resized, squared
from promptile.models.protocols import ModelCard
from promptile.models.rankers.variants import Variant
from promptile.models.snapshots import Snapshot, Words, load_snapshot

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


class Ranking:
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
        self._snapshot = snapshot
        self._network: Any = snapshot.network
        self._device = snapshot.device
        self._side = int(self._network.config.vision_config.image_size)
        self._habits = _HABITS[variant.kind]
        self.card = ModelCard(
            name=variant.name,
            family=variant.family,
            abilities=frozenset({"rank"}),
            ndim=2,
            channels=3,
            window=(self._side, self._side),
            licence=variant.licence,
            device=self._device.type,
            digest=f"{_VERSION} {snapshot.digest}",
        )
        colours = (self._habits.mean, self._habits.deviation)
        self._mean, self._deviation = (torch.tensor(v, device=self._device)[:, None, None] for v in colours)
        self._seeing = Batches(variant.name, self._device, _TOGETHER)
        self._last: tuple[tuple[str, ...], Tensor] | None = None
        self._again: Callable[[], Ranking] | None = None

    @classmethod
    def load(cls, variant: Variant, folder: Path, device: str = "auto") -> Ranking:
        """The model with the weights of a folder.

        Raises
        ------
        ModelError
            If the device is not there or the folder does not hold this model.
        """
        ranking = cls(variant, load_snapshot(folder, variant.network, variant.types, device_of(device)))
        ranking._again = partial(cls.load, variant, folder, device)
        return ranking

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the weights themselves."""
        if self._again is None:
            raise ModelError(f"Model {self.card.name!r} was not loaded from a folder and cannot be sent to a worker")
        return self._again, ()

    @torch.inference_mode()
    def rank(self, pictures: Sequence[NDArray[np.float32]], phrases: Sequence[str]) -> NDArray[np.float32]:
        if not pictures or not phrases:
            return np.zeros((len(pictures), len(phrases)), np.float32)
        texts = self._texts(tuple(phrases))
        scale = self._network.logit_scale.exp()
        bias = getattr(self._network, "logit_bias", 0)
        seen = torch.stack(self._seeing.each(pictures, self._look))
        logits: NDArray[np.float32] = (seen @ texts.T * scale + bias).cpu().numpy()
        return logits

    @torch.inference_mode()
    def read(self, phrases: Sequence[str]) -> None:
        self._texts(tuple(phrases))

    def _look(self, pictures: Sequence[NDArray[np.float32]]) -> list[Tensor]:
        """``(width,)``: what the network makes of each picture, of length 1."""
        images = torch.stack([self._image(picture) for picture in pictures])
        seen = self._network.get_image_features(pixel_values=images).pooler_output
        return list(functional.normalize(seen, dim=-1))

    def _image(self, picture: NDArray[np.float32]) -> Tensor:
        """``(3, side, side)``: a picture in the middle of a white square, as the network sees it."""
        steps = resized(squared(in_steps(picture)), (self._side, self._side), self._habits.filter)
        held = torch.from_numpy(np.array(steps)).to(self._device).permute(2, 0, 1)
        return (held.float() / 255 - self._mean) / self._deviation

    def _texts(self, phrases: tuple[str, ...]) -> Tensor:
        """``(phrases, width)``: of length 1; kept, as many pictures are compared with the same."""
        last = self._last
        if last is None or last[0] != phrases:
            words = self._words([phrase.strip() for phrase in phrases])
            mask = None if self._habits.filled else words.mask
            found = self._network.get_text_features(input_ids=words.ids, attention_mask=mask).pooler_output
            last = self._last = (phrases, functional.normalize(found, dim=-1))
        return last[1]

    def _words(self, texts: Sequence[str]) -> Words:
        length = self._network.config.text_config.max_position_embeddings
        said = [text.lower() for text in texts] if self._habits.lower else texts
        return self._snapshot.words(said, length, fill=self._habits.filled)
