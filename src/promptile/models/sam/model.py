"""`Sam`: a network of the family as a model that Promptile can ask."""

from __future__ import annotations

from collections import defaultdict
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
from promptile.models.computing import Batches, Precision
from promptile.models.devices import device_of
from promptile.models.protocols import LEARNT, Embedding, Masks, ModelCard, View, WindowPrompt
from promptile.models.sam.frame import Frame, as_tensor
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
_NOWHERE = np.float32(-8)
"""Logit where nothing was asked for."""


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
        alike: dict[_Form, list[int]] = defaultdict(list)
        for i, prompt in enumerate(prompts):
            alike[_Form.of(prompt, masks="mask" in self.card.abilities)].append(i)
        answers: dict[int, Masks] = {}
        for form, members in alike.items():
            asked = [prompts[i] for i in members]
            found = self._asking.each(asked, partial(self._answers, sight, form, least))
            answers |= zip(members, found, strict=True)
        return [answers[i] for i in range(len(prompts))]

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
        """``(3, side, side)``: a view as the network sees it; grey is shown in all three channels."""
        if len(view.samples) not in (1, 3):
            raise ModelError(f"Model {self.card.name!r} takes 1 or 3 channels, not {len(view.samples)}: use --channels")
        colours = as_tensor(np.asarray(view.samples, np.float32), self._device).clamp(0, 1).expand(3, -1, -1)
        return frame.image((colours - self._mean) / self._deviation)

    def _look(self, images: Sequence[Tensor]) -> list[Features]:
        with self._precision():
            return _apart(self._network.embed(torch.stack(list(images))))

    def _answers(self, sight: Sight, form: _Form, least: float | None, prompts: Sequence[WindowPrompt]) -> list[Masks]:
        """The answers to prompts of one form; `least`: without masks whose score is not above it."""
        if form.empty:
            count = int(least is None or least < 0)
            blank = Masks(np.full((count, *sight.frame.shape), _NOWHERE), np.zeros(count))
            return [blank] * len(prompts)
        questions = self._questions(sight.frame, form, prompts)
        logits, iou = self._network.decode(sight.features, questions, ambiguous=form.ambiguous, least=least)
        guesses, order = iou.sort(dim=1, descending=True, stable=True)
        scores = guesses.clamp(0, 1)
        counts = (scores > (-1 if least is None else least)).sum(dim=1).tolist()
        return [
            _masks(sight.frame, masks[best[:n]], quality[:n])
            for masks, best, quality, n in zip(logits, order, scores, counts, strict=True)
        ]

    def _questions(self, frame: Frame, form: _Form, prompts: Sequence[WindowPrompt]) -> Questions:
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


@dataclass(frozen=True)
class _Form:
    """What a prompt consists of; prompts of one form are answered together."""

    points: int
    box: bool
    mask: bool

    @classmethod
    def of(cls, prompt: WindowPrompt, *, masks: bool) -> _Form:
        return cls(len(prompt.points), prompt.box is not None, masks and prompt.mask is not None)

    @property
    def ambiguous(self) -> bool:
        """A point may mean a part, the whole or something between."""
        return self.points == 1 and not self.box and not self.mask

    @property
    def empty(self) -> bool:
        return not (self.points or self.box or self.mask)


def _masks(frame: Frame, logits: Tensor, scores: Tensor) -> Masks:
    """Masks ``(m, side / 4, side / 4)`` on the window's own samples."""
    if not len(logits):
        return Masks(np.empty((0, *frame.shape), np.float32), np.empty(0))
    return Masks(frame.back(logits[None])[0].cpu().numpy(), scores.cpu().double().numpy())


def _apart(features: Features) -> list[Features]:
    """One by one, in single precision; each owns its memory, so that forgetting one frees it."""
    fine = [None] * len(features.image) if features.fine is None else [_own(one) for one in features.fine]
    return [Features(_own(image), one) for image, one in zip(features.image, fine, strict=True)]


def _own(one: Tensor) -> Tensor:
    return one[None].to(torch.float32, copy=True)
