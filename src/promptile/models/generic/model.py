"""`Generic`: a model that a card describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptile.errors import ModelError
from promptile.models.generic.card import Card, read_card
from promptile.models.generic.fit import Fit
from promptile.models.generic.network import Computed, computed
from promptile.models.protocols import LEARNT, Ability, Embedding, Masks, ModelCard, View, WindowPrompt

_VERSION = "generic-1"
"""Of this code: it changes when answers do."""
_NOWHERE = np.float32(-8)
"""Logit where nothing was asked for."""
_SAM_MASKS = 4
"""SAM's decoder gives four masks: one for clear prompts, then three for ambiguous ones."""
_MASK = 4
"""Pixels of the input along a cell of the mask that is given, if the file does not say."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What is kept of one window."""

    fit: Fit
    arrays: Mapping[str, NDArray[Any]]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())


class Generic:
    """Segments images with networks that a card describes.

    Parameters
    ----------
    card : Card
    encoder, decoder : Computed
    digest : str
        Of the card, its files and what computes them.
    device : str
    """

    def __init__(self, card: Card, encoder: Computed, decoder: Computed, digest: str, device: str = "cpu") -> None:
        abilities: set[Ability] = {"points"}
        abilities |= {"box"} if card.points.box else set()
        abilities |= {"mask"} if card.decoder.gets("mask") else set()
        side = card.image.side
        self.card = ModelCard(
            name=str(card.path),
            family=card.name,
            abilities=frozenset(abilities),
            ndim=2,
            channels=3,
            max_points=card.points.most,
            window=(side, side),
            trust=LEARNT,
            licence=card.licence,
            device=device,
            digest=digest,
        )
        self._card = card
        self._encoder = encoder
        self._decoder = decoder
        self._again: Callable[[], Generic] | None = None

    @classmethod
    def load(cls, path: Path, device: str = "auto", runtime: str | None = None) -> Generic:
        """The model of a card.

        Raises
        ------
        ModelError
            If the card is wrong, or what it needs is not here.
        """
        card = read_card(path)
        encoder, decoder, used = computed(card, device, runtime)
        _check_sizes(card, encoder, decoder)
        model = cls(card, encoder, decoder, f"{_VERSION} {card.digest()} {used}")
        model._again = partial(cls.load, path, device, used)
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the files themselves."""
        if self._again is None:
            raise ModelError(f"Model {self.card.name!r} was not loaded from a card and cannot be sent to a worker")
        return self._again, ()

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        return [self._embedding(self._fit(view.shape), self._encoder({"image": self._image(view)})) for view in views]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        sight: Sight = embedding.content
        masked = prompt.mask is not None and "mask" in self.card.abilities
        boxed = prompt.box is not None and "box" in self.card.abilities
        if not (len(prompt.points) or boxed or masked):
            return Masks(np.full((1, *sight.fit.shape), _NOWHERE), np.zeros(1))
        answers = self._decoder({**sight.arrays, **self._asked(sight.fit, prompt, boxed=boxed, masked=masked)})
        logits = np.asarray(answers["logits"], np.float32)
        logits, scores = logits.reshape(-1, *logits.shape[-2:]), np.asarray(answers["scores"], np.float64).reshape(-1)
        if len(logits) != len(scores):
            raise ModelError(f"{self.card.name}: the decoder gives {len(logits)} logits and {len(scores)} scores")
        if len(logits) == _SAM_MASKS:
            ambiguous = len(prompt.points) == 1 and not boxed and not masked
            logits, scores = (logits[1:], scores[1:]) if ambiguous else (logits[:1], scores[:1])
        order = np.argsort(-scores, kind="stable")
        return Masks(sight.fit.back(logits[order]), scores[order].clip(0, 1))

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]]:
        sight: Sight = embedding.content
        halves = {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in sight.arrays.items()}
        return {"_shape": np.array(sight.fit.shape), **halves}

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        rows, columns = arrays["_shape"].tolist()
        kept = {name: arrays[name] for name in self._card.kept}
        whole = {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in kept.items()}
        return self._embedding(self._fit((rows, columns)), whole)

    def _embedding(self, fit: Fit, arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        sight = Sight(fit, arrays)
        return Embedding(sight, self.card.digest, sight.nbytes)

    def _fit(self, shape: Sequence[int]) -> Fit:
        rows, columns = shape
        return Fit((rows, columns), self._card.image.side, self._card.image.fit)

    def _image(self, view: View) -> NDArray[np.float32]:
        """``(1, 3, side, side)``: a view as the encoder sees it; grey is shown in all three channels."""
        if len(view.samples) not in (1, 3):
            raise ModelError(f"Model {self.card.name!r} takes 1 or 3 channels, not {len(view.samples)}: use --channels")
        image = self._card.image
        colours = np.broadcast_to(np.asarray(view.samples, np.float32).clip(0, 1), (3, *view.shape))
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (image.mean, image.std))
        return self._fit(view.shape).image((colours * np.float32(image.white) - mean) / std)[None]

    def _asked(self, fit: Fit, prompt: WindowPrompt, *, boxed: bool, masked: bool) -> dict[str, NDArray[Any]]:
        """All that the decoder may be given beside what the encoder kept."""
        codes, shape = self._card.points, self._mask_shape()
        points = fit.places(prompt.points.reshape(-1, 2))
        labels = np.where(prompt.labels, codes.positive, codes.negative).astype(np.float32)
        corners = fit.corners(prompt.box) if boxed and prompt.box is not None else np.zeros((0, 2), np.float32)
        room = None if codes.most is None else codes.most - len(corners)
        points, labels = np.concatenate([points[:room], corners]), labels[:room]
        if len(corners) and codes.box is not None:
            labels = np.concatenate([labels, np.array(codes.box, np.float32)])
        elif codes.padding is not None and len(points):
            points = np.concatenate([points, np.zeros((1, 2), np.float32)])
            labels = np.append(labels, np.float32(codes.padding))
        mask = fit.mask(prompt.mask, shape) if masked and prompt.mask is not None else np.zeros(shape, np.float32)
        axes = codes.axes or len(self._decoder.shape("points") or (1, 2, 3))
        alone = (None,) * (axes - 2)
        return {
            "points": points[alone],
            "labels": labels[alone],
            "mask": mask[None, None],
            "has_mask": np.array([float(masked)], np.float32),
            "size": np.array([fit.side, fit.side]),
        }

    def _mask_shape(self) -> tuple[int, int]:
        side = self._card.image.side // _MASK
        known = (self._decoder.shape("mask") or [None, None])[-2:]
        return known[0] or side, known[1] or side


def _check_sizes(card: Card, encoder: Computed, decoder: Computed) -> None:
    """Refuse sizes of the card that the files do not take, as far as they say."""
    side, axes = card.image.side, card.points.axes
    for length in (encoder.shape("image") or [])[-2:]:
        if length not in (None, side):
            raise ModelError(
                f"{card.path}: image.side is {side}, and {card.encoder.file.name} takes {length}: use that"
            )
    points = decoder.shape("points")
    if points and axes not in (None, len(points)):
        raise ModelError(
            f"{card.path}: points.axes is {axes}, and {card.decoder.file.name} takes {len(points)}: use that"
        )
