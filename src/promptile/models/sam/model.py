"""`Sam`: a network of the family as a model that Promptile can ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptile.errors import ModelError
from promptile.models.asking import Form, by_form, candidates, colours_of, unasked
from promptile.models.computing import Batches, Precision, as_tensor
from promptile.models.devices import device_of
from promptile.models.protocols import LEARNT, Embedding, Masks, ModelCard, View, WindowPrompt
from promptile.models.sam.frame import Frame
from promptile.models.sam.nets.network import Decoding, Features, Questions
from promptile.models.sam.running import network_of
from promptile.models.sam.variants import Variant
from promptile.models.weights import digest

_VERSION = "sam-2"
"""Of this code: it changes when answers do."""
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_SEEN = {"cuda": 4}
"""Windows looked at together; elsewhere one at a time, which is as fast and takes less memory."""
_ASKED = {"cpu": 3, "mps": 16, "cuda": 32}
"""Prompts answered together; on a CPU so few that what is computed between stays below the 32 MB from which on memory
is asked of the system each time anew."""
_ASKED_FINER = {"cpu": 1, "mps": 8, "cuda": 16}
"""The same for SAM-HQ, which computes more between."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What is kept of one window."""

    frame: Frame
    features: Features

    @property
    def nbytes(self) -> int:
        held = (self.features.image, self.features.fine, *(self.features.prepared or ()))
        return sum(tensor.nbytes for tensor in held if tensor is not None)


class Sam:
    """Segments images from points, boxes and masks: one mask, or three for a single point.

    Parameters
    ----------
    variant : Variant
    network : Decoding
        On `device`, ready to answer.
    device : torch.device
    digest : str
        Of the weights.
    precision : str
        As in `Precision`.
    """

    def __init__(
        self, variant: Variant, network: Decoding, device: torch.device, digest: str, precision: str = "auto"
    ) -> None:
        self._precision = Precision(precision, device)
        self.card = ModelCard(
            name=variant.name,
            family=variant.family,
            abilities=variant.abilities,
            ndim=2,
            channels=3,
            max_points=variant.max_points,
            window=(variant.side, variant.side),
            trust=LEARNT,
            licence=variant.licence,
            device=device.type,
            digest=digest + self._precision.mark,
        )
        self._seeing = Batches(variant.name, device, _SEEN.get(device.type, 1))
        self._asking = Batches(variant.name, device, (_ASKED_FINER if variant.quality else _ASKED)[device.type])
        self._variant = variant
        self._network = network
        self._device = device
        self._mean, self._deviation = (torch.tensor(v, device=device)[:, None, None] for v in (_MEAN, _DEVIATION))
        self._again: Callable[[], Sam] | None = None

    @classmethod
    def load(
        cls,
        variant: Variant,
        path: Path,
        device: str = "auto",
        *,
        runtime: str | None = None,
        precision: str = "auto",
        hq_token_only: bool = False,
    ) -> Sam:
        """The model with the weights of a file.

        Raises
        ------
        ModelError
            If the device, the runtime or the precision is not there or the file does not hold this model.
        """
        place, version = device_of(device), " ".join([_VERSION, digest(path), *["hq_token_only"] * hq_token_only])
        if Precision(precision, place).name != "fp32":
            if runtime not in (None, "auto", "torch"):
                raise ModelError(f"Precision {precision!r} is for torch: leave runtime {runtime!r} out")
            runtime = "torch"
        network, used = network_of(variant, path, place, runtime, version=version, hq_token_only=hq_token_only)
        sam = cls(variant, network, place, version if used == "torch" else f"{version} {used}", precision)
        sam._again = partial(
            cls.load, variant, path, device, runtime=used, precision=precision, hq_token_only=hq_token_only
        )
        return sam

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the weights themselves."""
        if self._again is None:
            raise ModelError(f"Model {self.card.name!r} was not loaded from a file and cannot be sent to a worker")
        return self._again, ()

    @torch.inference_mode()
    def embed(self, views: Sequence[View]) -> list[Embedding]:
        frames = [self._frame(view.shape) for view in views]
        images = [self._image(view, frame) for view, frame in zip(views, frames, strict=True)]
        features = self._seeing.each(images, self._look)
        return [self._embedding(frame, one) for frame, one in zip(frames, features, strict=True)]

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

        return by_form(prompts, partial(Form.of, masks="mask" in self.card.abilities), answer)

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]]:
        sight: Sight = embedding.content
        held = {"image": sight.features.image, "fine": sight.features.fine}
        arrays = {name: tensor.half().cpu().numpy() for name, tensor in held.items() if tensor is not None}
        return {"shape": np.array(sight.frame.shape), **arrays}

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        image, *fine = (
            torch.tensor(arrays[name]).float().to(self._device) for name in ("image", "fine") if name in arrays
        )
        features = Features(image, fine[0] if fine else None)
        return self._embedding(self._frame(arrays["shape"].tolist()), features)

    @torch.inference_mode()
    def _embedding(self, frame: Frame, features: Features) -> Embedding:
        """With all that prompts will ask of it in common."""
        sight = Sight(frame, self._network.prepare(features))
        return Embedding(sight, self.card.digest, sight.nbytes)

    def _frame(self, shape: Sequence[int]) -> Frame:
        rows, columns = shape
        return Frame((rows, columns), self._variant.side, self._variant.style == "efficient")

    def _image(self, view: View, frame: Frame) -> Tensor:
        """``(3, side, side)``: a view as the network sees it."""
        colours = colours_of(view, self.card.name, self._device)
        return frame.image((colours - self._mean) / self._deviation)

    def _look(self, images: Sequence[Tensor]) -> list[Features]:
        with self._precision():
            return _apart(self._network.embed(torch.stack(list(images))))

    def _answers(self, sight: Sight, form: Form, least: float | None, prompts: Sequence[WindowPrompt]) -> list[Masks]:
        """The answers to prompts of one form; `least`: without masks whose score is not above it."""
        if form.empty:
            return [unasked(sight.frame.shape, least)] * len(prompts)
        questions = self._questions(sight.frame, form, prompts)
        logits, iou = self._network.decode(sight.features, questions, ambiguous=form.ambiguous, least=least)
        return candidates(sight.frame, logits, iou, least)

    def _questions(self, frame: Frame, form: Form, prompts: Sequence[WindowPrompt]) -> Questions:
        points = np.stack([frame.places(prompt.points.reshape(-1, 2)) for prompt in prompts])
        labels = np.stack([prompt.labels for prompt in prompts]).astype(np.int64)
        boxes = [frame.corners(prompt.box) for prompt in prompts if form.box and prompt.box is not None]
        masks = [
            frame.mask(as_tensor(prompt.mask, self._device))
            for prompt in prompts
            if form.mask and prompt.mask is not None
        ]
        return Questions(
            as_tensor(points, self._device),
            torch.from_numpy(labels).to(self._device),
            as_tensor(np.stack(boxes), self._device) if boxes else None,
            torch.stack(masks) if masks else None,
        )


def _apart(features: Features) -> list[Features]:
    """One by one, in single precision; each owns its memory, so that forgetting one frees it."""
    fine = [None] * len(features.image) if features.fine is None else [_own(one) for one in features.fine]
    return [Features(_own(image), one) for image, one in zip(features.image, fine, strict=True)]


def _own(one: Tensor) -> Tensor:
    return one[None].to(torch.float32, copy=True)
