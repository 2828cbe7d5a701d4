"""`Sam2`: a network of the family as a model that Promptile can ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from promptile.errors import ModelError
from promptile.models.asking import Form, by_form, candidates, colours_of, unasked
from promptile.models.computing import Batches, Precision, as_tensor
from promptile.models.devices import device_of
from promptile.models.protocols import LEARNT, Ability, Embedding, Masks, ModelCard, View, WindowPrompt
from promptile.models.sam2.frame import Frame
from promptile.models.sam2.loading import load_network
from promptile.models.sam2.variants import Hiera, Variant
from promptile.models.weights import digest

_VERSION = "sam2-1"
"""Of this code: it changes when answers do."""
_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that SAM 2 learnt with."""
_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""And SAM 3."""
_SEEN = {"cuda": 4}
"""Windows looked at together; elsewhere one at a time, which is as fast and takes less memory."""
_ASKED = {"cpu": 4, "mps": 16, "cuda": 32}
"""Prompts answered together."""
_MAPS = 3
"""Maps that the decoder sees; the encoder of SAM 3 makes one more."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What is kept of one window."""

    frame: Frame
    maps: tuple[Tensor, ...]
    """``(1, 32, cells, cells)``, ``(1, 64, cells / 2, cells / 2)``, ``(1, 256, cells / 4, cells / 4)``"""

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in self.maps)


class Sam2:
    """Segments images from points, boxes and masks: one mask, or three for a single point.

    A score is the network's guess of the IoU times its probability that there is an object at all.

    Parameters
    ----------
    variant : Variant
    network : nn.Module
        `Sam2Model` or `Sam3TrackerModel` of transformers on `device`, ready to answer.
    device : torch.device
    digest : str
        Of the weights.
    precision : str
        As in `Precision`.
    """

    _abilities: ClassVar[frozenset[Ability]] = frozenset({"points", "box", "mask"})

    def __init__(
        self, variant: Variant, network: nn.Module, device: torch.device, digest: str, precision: str = "auto"
    ) -> None:
        self._precision = Precision(precision, device)
        self.card = ModelCard(
            name=variant.name,
            family=variant.family,
            abilities=self._abilities,
            ndim=2,
            channels=3,
            window=(variant.side, variant.side),
            trust=LEARNT,
            licence=variant.licence,
            device=device.type,
            digest=digest + self._precision.mark,
        )
        self._seeing = Batches(variant.name, device, _SEEN.get(device.type, 1))
        self._asking = Batches(variant.name, device, _ASKED[device.type])
        self._variant = variant
        self._network: Any = network
        self._device = device
        colours = _COLOURS if isinstance(variant.encoder, Hiera) else _HALVES
        self._mean, self._deviation = (torch.tensor(v, device=device)[:, None, None] for v in colours)
        self._again: Callable[[], Sam2] | None = None

    @classmethod
    def load(cls, variant: Variant, path: Path, device: str = "auto", *, precision: str = "auto") -> Self:
        """The model with the weights of a file.

        Raises
        ------
        ModelError
            If the device is not there or has no such precision, or the file does not hold this model.
        """
        place = device_of(device)
        Precision(precision, place)
        network = load_network(variant, path).to(place)
        sam2 = cls(variant, network, place, f"{_VERSION} {digest(path)}", precision)
        sam2._again = partial(cls.load, variant, path, device, precision=precision)
        return sam2

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the weights themselves."""
        if self._again is None:
            raise ModelError(f"Model {self.card.name!r} was not loaded from a file and cannot be sent to a worker")
        return self._again, ()

    @torch.inference_mode()
    def embed(self, views: Sequence[View]) -> list[Embedding]:
        frames = [self._frame(view.shape) for view in views]
        images = [self._image(view, frame) for view, frame in zip(views, frames, strict=True)]
        maps = self._seeing.each(images, self._looks)
        return [self._embedding(Sight(frame, held)) for frame, held in zip(frames, maps, strict=True)]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        return self.predict_batch(embedding, [prompt])[0]

    def predict_batch(self, embedding: Embedding, prompts: Sequence[WindowPrompt]) -> list[Masks]:
        return self._predict(embedding.content, prompts, None)

    def predict_above(self, embedding: Embedding, prompts: Sequence[WindowPrompt], least: float) -> list[Masks]:
        return self._predict(embedding.content, prompts, least)

    @torch.inference_mode()
    def _predict(self, sight: Sight, prompts: Sequence[WindowPrompt], least: float | None) -> list[Masks]:
        def answer(form: Form, asked: Sequence[WindowPrompt]) -> list[Masks]:
            return self._asking.each(asked, partial(self._answers, sight, form, least))

        return by_form(prompts, Form.of, answer)

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]]:
        sight: Sight = embedding.content
        held = {f"map{i}": each.half().cpu().numpy() for i, each in enumerate(sight.maps)}
        return {"shape": np.array(sight.frame.shape), **held}

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        maps = (torch.tensor(arrays[f"map{i}"]).float().to(self._device) for i in range(_MAPS))
        return self._embedding(Sight(self._frame(arrays["shape"].tolist()), tuple(maps)))

    def _embedding(self, sight: Sight) -> Embedding:
        return Embedding(sight, self.card.digest, sight.nbytes)

    def _frame(self, shape: Sequence[int]) -> Frame:
        rows, columns = shape
        return Frame((rows, columns), self._variant.side, self._variant.cells)

    def _image(self, view: View, frame: Frame) -> Tensor:
        """``(3, side, side)``: a view as the network sees it."""
        colours = colours_of(view, self.card.name, self._device)
        return (frame.image(colours) - self._mean) / self._deviation

    def _looks(self, images: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
        """The maps of each image ``(3, side, side)``; each owns its memory, so that forgetting one frees it."""
        with self._precision():
            maps = self._look(torch.stack(list(images)))
        return [tuple(each[i : i + 1].to(torch.float32, copy=True) for each in maps) for i in range(len(images))]

    def _look(self, images: Tensor) -> list[Tensor]:
        """The maps of images ``(n, 3, side, side)``, finest first."""
        # Not get_image_embeddings: for SAM 3 it adds the token for "nothing is remembered", which each image without a
        # past has, to the map that is dropped (transformers 5.23).
        flat = list(self._network.get_image_features(images, return_dict=True).fpn_hidden_states)[:_MAPS]
        flat[-1] = flat[-1] + self._network.no_memory_embedding
        maps = (each.permute(1, 2, 0) for each in flat)
        return [each.unflatten(2, [self._variant.cells >> i] * 2) for i, each in enumerate(maps)]

    def _answers(self, sight: Sight, form: Form, least: float | None, prompts: Sequence[WindowPrompt]) -> list[Masks]:
        """The answers to prompts of one form; `least`: without masks whose score is not above it."""
        if form.empty:
            return [unasked(sight.frame.shape, least)] * len(prompts)
        found = self._network(
            image_embeddings=[each.expand(len(prompts), -1, -1, -1) for each in sight.maps],
            multimask_output=form.ambiguous,
            **self._questions(sight.frame, form, prompts),
        )
        scores = found.iou_scores[:, 0] * found.object_score_logits[:, 0].sigmoid()
        return candidates(sight.frame, found.pred_masks[:, 0], scores, least)

    def _questions(self, frame: Frame, form: Form, prompts: Sequence[WindowPrompt]) -> dict[str, Tensor]:
        """Prompts of one form, each about an image of its own: only so may each have a mask."""
        asked: dict[str, Tensor] = {}
        if form.points:
            points = np.stack([frame.places(prompt.points) for prompt in prompts])
            labels = np.stack([prompt.labels for prompt in prompts]).astype(np.int64)
            asked["input_points"] = as_tensor(points, self._device)[:, None]
            asked["input_labels"] = torch.from_numpy(labels).to(self._device)[:, None]
        if form.box:
            boxes = [frame.corners(prompt.box) for prompt in prompts if prompt.box is not None]
            asked["input_boxes"] = as_tensor(np.stack(boxes), self._device)[:, None]
        if form.mask:
            masks = [frame.mask(as_tensor(p.mask, self._device)) for p in prompts if p.mask is not None]
            asked["input_masks"] = torch.stack(masks)
        return asked
