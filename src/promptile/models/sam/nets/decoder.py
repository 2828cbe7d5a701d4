"""From what the prompts and the image know of each other to masks and guesses of their quality."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.layers import LayerNorm2d, Perceptron
from promptile.models.sam.nets.transformer import TwoWayTransformer

CANDIDATES = 3
"""Masks for an ambiguous prompt, beside the one for a prompt that is not."""


class MaskDecoder(nn.Module):
    """The decoder of SAM and, with other activations, of EfficientSAM.

    Parameters
    ----------
    efficient : bool
    width : int
    """

    def __init__(self, *, efficient: bool = False, width: int = 256) -> None:
        super().__init__()
        activation = functional.gelu if efficient else functional.relu
        self.transformer = TwoWayTransformer(activation, additive=efficient, width=width)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(1 + CANDIDATES, width)
        norm = nn.GroupNorm(1, width // 4) if efficient else LayerNorm2d(width // 4)
        self.output_upscaling = nn.Sequential(*_upscaling(width, norm), nn.GELU())
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron(width, width, width // 8, activation) for _ in range(1 + CANDIDATES)
        )
        self.iou_prediction_head = Perceptron(width, width, 1 + CANDIDATES, activation)

    def forward(
        self, image: Tensor, places: Tensor, prompts: Tensor, fine: Tensor | None, *, ambiguous: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits ``(p, m, 4 h, 4 w)`` and guesses of their IoU with the truth ``(p, m)``; m is 3 if `ambiguous`, or 1.

        Parameters
        ----------
        image : Tensor of shape (1 or p, width, h, w)
            The embedding, and the masks given with it.
        places : Tensor of shape (1, width, h, w)
        prompts : Tensor of shape (p, n, width)
            Tokens of points and boxes.
        fine : Tensor of shape (1, width / 8, 4 h, 4 w), optional
            What the decoder of SAM-HQ knows of the image beside.
        ambiguous : bool
        """
        tokens, upscaled = self._discuss(image, places, prompts)
        return self._masks(tokens, upscaled, ambiguous=ambiguous)

    def _own_tokens(self) -> Tensor:
        return torch.cat([self.iou_token.weight, self.mask_tokens.weight])

    def _discuss(self, image: Tensor, places: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's own tokens ``(p, n, width)`` and the upscaled image ``(p, width / 8, 4 h, 4 w)``, both told."""
        own = self._own_tokens()
        tokens = torch.cat([own.expand(len(prompts), -1, -1), prompts], dim=1)
        tokens, told = self.transformer(_as_tokens(image), _as_tokens(places), tokens)
        return tokens[:, : len(own)], self.output_upscaling(told.transpose(1, 2).unflatten(2, image.shape[2:]))

    def _masks(self, tokens: Tensor, upscaled: Tensor, *, ambiguous: bool) -> tuple[Tensor, Tensor]:
        chosen = range(1, 1 + CANDIDATES) if ambiguous else range(1)
        weights = torch.stack([self.output_hypernetworks_mlps[i](tokens[:, 1 + i]) for i in chosen], dim=1)
        iou = self.iou_prediction_head(tokens[:, 0])
        return _weighted(weights, upscaled), iou[:, list(chosen)]


class HighQualityDecoder(MaskDecoder):
    """The decoder of SAM-HQ: one token more, whose mask is drawn on finer features and added to the best.

    Parameters
    ----------
    early : int
        Channels of the encoder's early feature.
    alone : bool
        Answer with the finer mask alone, instead of the sum.
    width : int
    """

    def __init__(self, early: int, *, alone: bool, width: int = 256) -> None:
        super().__init__(width=width)
        self._alone = alone
        self.hf_token = nn.Embedding(1, width)
        self.hf_mlp = Perceptron(width, width, width // 8, functional.relu)
        self.compress_vit_feat = nn.Sequential(*_upscaling(early, LayerNorm2d(width), width, width // 8))
        self.embedding_encoder = nn.Sequential(*_upscaling(width, LayerNorm2d(width // 4)))
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(width // 8, width // 4, 3, padding=1),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.Conv2d(width // 4, width // 8, 3, padding=1),
        )

    def fuse(self, image: Tensor, early: Tensor) -> Tensor:
        """``(n, width / 8, 4 h, 4 w)``: what is fine in images; it depends on no prompt."""
        fused: Tensor = self.embedding_encoder(image) + self.compress_vit_feat(early)
        return fused

    def forward(
        self, image: Tensor, places: Tensor, prompts: Tensor, fine: Tensor | None, *, ambiguous: bool
    ) -> tuple[Tensor, Tensor]:
        if fine is None:
            raise TypeError("SAM-HQ needs the fine features of the image: give what fuse() made of it")
        tokens, upscaled = self._discuss(image, places, prompts)
        masks, iou = self._masks(tokens, upscaled, ambiguous=ambiguous)
        finer = self._finer(self.hf_mlp(tokens[:, -1]), upscaled, fine)
        best = torch.arange(masks.shape[1], device=iou.device) == iou.argmax(dim=1, keepdim=True)
        if self._alone:
            return finer, iou[best][:, None]
        return masks + finer * best[..., None, None], iou

    def _finer(self, weights: Tensor, upscaled: Tensor, fine: Tensor) -> Tensor:
        """``(p, 1, h, w)``: the weighted sum of the channels of ``embedding_maskfeature(upscaled) + fine``.

        The last convolution and the sum are both linear: summed first, it has one channel to make and not `c`.

        Parameters
        ----------
        weights : Tensor of shape (p, c)
        upscaled : Tensor of shape (p, c, h, w)
        fine : Tensor of shape (1, c, h, w)
        """
        inner = self.embedding_maskfeature[:-1](upscaled)
        weight, bias = (self.embedding_maskfeature[-1].get_parameter(name) for name in ("weight", "bias"))
        kernel = torch.einsum("po,oiyx->pyxi", weights, weight.flip(2, 3)).flatten(1, 2)
        taps = torch.einsum("pti,pihw->pthw", kernel, inner)
        finer = functional.fold(taps.flatten(2), inner.shape[2:], kernel_size=3, padding=1)
        return finer + (weights @ bias)[:, None, None, None] + _weighted(weights[:, None], fine)

    def _own_tokens(self) -> Tensor:
        return torch.cat([super()._own_tokens(), self.hf_token.weight])


def _upscaling(width: int, norm: nn.Module, inner: int = 0, out: int = 0) -> list[nn.Module]:
    """Layers that make an image of `width` channels four times as large."""
    inner, out = inner or width // 4, out or width // 8
    return [nn.ConvTranspose2d(width, inner, 2, 2), norm, nn.GELU(), nn.ConvTranspose2d(inner, out, 2, 2)]


def _as_tokens(image: Tensor) -> Tensor:
    return image.flatten(2).transpose(1, 2)


def _weighted(weights: Tensor, image: Tensor) -> Tensor:
    """``(p, m, h, w)``: sums of the channels of ``(p, c, h, w)`` with weights ``(p, m, c)``."""
    return torch.einsum("pmc,pchw->pmhw", weights, image)
