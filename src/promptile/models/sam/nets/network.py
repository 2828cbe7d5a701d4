"""A whole network: look at images once, answer prompts about them often."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.decoder import HighQualityDecoder, MaskDecoder, Understood
from promptile.models.sam.nets.prompts import NOTHING, PromptEncoder
from promptile.models.sam.nets.tiny import Convolution, TinyVit
from promptile.models.sam.nets.transformer import Prepared
from promptile.models.sam.nets.vit import PIXELS, Vit
from promptile.models.sam.variants import Variant

_SLOTS = 6
"""Points that EfficientSAM always takes: missing ones are given as none at (-1, -1), further ones left out."""
_BOX = (2, 3)
_NOWHERE = -8.0
"""Logit of a mask that was not drawn."""


@dataclass(frozen=True, eq=False)
class Features:
    """What a network keeps of images."""

    image: Tensor
    """``(n, 256, side / 16, side / 16)``"""
    fine: Tensor | None = None
    """``(n, 32, side / 4, side / 4)``: for the decoder of SAM-HQ."""
    prepared: Prepared | None = None
    """What the decoder asks of an image whatever the prompt; it follows from `image`."""


@dataclass(frozen=True, eq=False)
class Questions:
    """Prompts of one form about one image, in the pixels of the model's input."""

    points: Tensor
    """``(p, n, 2)``: x and y; an integer is a pixel's centre."""
    labels: Tensor
    """``(p, n)`` of int: 1 on the object, 0 not on it."""
    boxes: Tensor | None = None
    """``(p, 2, 2)``: the low and the high corner, as x and y."""
    masks: Tensor | None = None
    """``(p, 1, side / 4, side / 4)``: logits."""


class Decoding(ABC):
    """What answers prompts about an image: understands them, then draws the masks that are wanted."""

    efficient: bool
    """Whether it is an EfficientSAM."""

    @abstractmethod
    def embed(self, images: Tensor) -> Features:
        """Look at normalised images ``(n, 3, side, side)``."""

    @abstractmethod
    def prepare(self, features: Features) -> Features:
        """The features of one image with what prompts without masks have in common, which need not ask for it then."""

    @abstractmethod
    def understand(
        self, features: Features, points: Tensor, labels: Tensor, masks: Tensor | None, *, ambiguous: bool
    ) -> Understood:
        """All but the masks, for points ``(p, n, 2)`` and labels ``(p, n)`` with the corners of boxes among them."""

    @abstractmethod
    def draw(self, understood: Understood, fine: Tensor | None) -> Tensor:
        """Logits ``(p, m, side / 4, side / 4)``; `fine` is that of the features."""

    def decode(
        self, features: Features, questions: Questions, *, ambiguous: bool, least: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Answer prompts about one image (n is 1); the network must be folded.

        Parameters
        ----------
        features : Features
        questions : Questions
        ambiguous : bool
        least : float, optional
            Masks of prompts without any guess above it need not be drawn: their logits may be anything below 0.

        Returns
        -------
        logits : Tensor of shape (p, m, side / 4, side / 4)
            m is 3 if `ambiguous`, else 1.
        iou : Tensor of shape (p, m)
            The model's own guesses; not bounded.
        """
        understood = self._understood(features, questions, ambiguous=ambiguous)
        iou = understood.iou
        if least is None:
            return self.draw(understood, features.fine), iou
        logits = iou.new_full((*iou.shape, *(4 * n for n in features.image.shape[2:])), _NOWHERE)
        good = (iou > least).any(dim=1)
        if good.any():
            logits[good] = self.draw(understood[good], features.fine)
        return logits, iou

    def _understood(self, features: Features, questions: Questions, *, ambiguous: bool) -> Understood:
        masks = None if self.efficient else questions.masks
        return self.understand(features, *self._listed(questions), masks, ambiguous=ambiguous)

    def _listed(self, questions: Questions) -> tuple[Tensor, Tensor]:
        """All points ``(p, n, 2)`` and labels ``(p, n)`` that the decoder is told, corners of boxes included."""
        points, labels = questions.points, questions.labels
        corners = labels.new_tensor(_BOX).expand(len(labels), 2)
        if self.efficient:
            if questions.boxes is not None:
                points, labels = torch.cat([questions.boxes, points], dim=1), torch.cat([corners, labels], dim=1)
            missing = max(_SLOTS - points.shape[1], 0)
            points = functional.pad(points, (0, 0, 0, missing), value=-1.0)
            labels = functional.pad(labels, (0, missing), value=NOTHING)
            return points[:, :_SLOTS], labels[:, :_SLOTS]
        if questions.boxes is not None:
            return torch.cat([points, questions.boxes], dim=1), torch.cat([labels, corners], dim=1)
        if points.shape[1]:
            return functional.pad(points, (0, 0, 0, 1)), functional.pad(labels, (0, 1), value=NOTHING)
        return points, labels


class Network(Decoding, nn.Module):
    """Any model of the family.

    Parameters
    ----------
    variant : Variant
    hq_token_only : bool
        SAM-HQ: answer with the finer mask alone.
    """

    def __init__(self, variant: Variant, *, hq_token_only: bool = False) -> None:
        super().__init__()
        encoder, tokens = variant.encoder, variant.side // PIXELS
        efficient = variant.style == "efficient"
        self.efficient = efficient
        self.image_encoder: nn.Module = (
            TinyVit()
            if encoder.kind == "tiny"
            else Vit(variant.side, encoder.width, encoder.depth, encoder.heads, encoder.spread)
        )
        self.prompt_encoder = PromptEncoder(variant.side, tokens, masks=not efficient)
        self.mask_decoder = (
            HighQualityDecoder(encoder.early, alone=hq_token_only)
            if variant.quality
            else MaskDecoder(efficient=efficient)
        )

    def fold(self) -> None:
        """Join what only training needs apart; no weights can be loaded into the network then."""
        for part in self.modules():
            if isinstance(part, Convolution):
                part.fold()
        self.mask_decoder.transformer.settle(_as_tokens(self.prompt_encoder.places()))

    def embed(self, images: Tensor) -> Features:
        image, early = self.image_encoder(images)
        fine = self.mask_decoder.fuse(image, early) if isinstance(self.mask_decoder, HighQualityDecoder) else None
        return Features(image, fine)

    def prepare(self, features: Features) -> Features:
        return replace(features, prepared=self.mask_decoder.transformer.prepare(self._unmasked(features)))

    def understand(
        self, features: Features, points: Tensor, labels: Tensor, masks: Tensor | None, *, ambiguous: bool
    ) -> Understood:
        tokens = self.prompt_encoder.sparse(points, labels, nowhere=not self.efficient)
        if masks is None:
            prepared = features.prepared or self.prepare(features).prepared
            return self.mask_decoder.understand(self._unmasked(features), tokens, prepared, ambiguous=ambiguous)
        image = _as_tokens(features.image + self.prompt_encoder.dense(masks)).contiguous()
        return self.mask_decoder.understand(image, tokens, ambiguous=ambiguous)

    def draw(self, understood: Understood, fine: Tensor | None) -> Tensor:
        return self.mask_decoder.draw(understood, fine)

    def _unmasked(self, features: Features) -> Tensor:
        return _as_tokens(features.image + self.prompt_encoder.dense(None))


def _as_tokens(image: Tensor) -> Tensor:
    """``(n, h * w, c)`` for ``(n, c, h, w)``."""
    return image.flatten(2).transpose(1, 2)
