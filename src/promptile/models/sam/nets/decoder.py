"""From what the prompts and the image know of each other to masks and guesses of their quality."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.layers import LayerNorm2d, Perceptron
from promptile.models.sam.nets.transformer import Prepared, TwoWayTransformer
from promptile.models.sam.nets.upscaling import Upscaling, upscaling

CANDIDATES = 3
"""Masks for an ambiguous prompt, beside the one for a prompt that is not."""


@dataclass(frozen=True, eq=False)
class Understood:
    """What is known of prompts before their masks are drawn."""

    tokens: Tensor
    """``(p, n, width)``: the decoder's own."""
    image: Tensor
    """``(p, h * w, width)``: as it looks to somebody who was asked."""
    iou: Tensor
    """``(p, m)``: guesses of the masks' IoU with the truth; m is 3 for an ambiguous prompt, or 1."""

    def __getitem__(self, some: Tensor) -> Understood:
        """Of some of the prompts."""
        return Understood(self.tokens[some], self.image[some], self.iou[some])


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
        self.output_upscaling = Upscaling(width, nn.GroupNorm(1, width // 4) if efficient else None)
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron(width, width, width // 8, activation) for _ in range(1 + CANDIDATES)
        )
        self.iou_prediction_head = Perceptron(width, width, 1 + CANDIDATES, activation)

    def understand(
        self, image: Tensor, prompts: Tensor, prepared: Prepared | None = None, *, ambiguous: bool
    ) -> Understood:
        """All but the masks.

        Parameters
        ----------
        image : Tensor of shape (p, h * w, width)
            The embedding and the masks given with it; ``(1, h * w, width)`` with what was `prepared` of it.
        prompts : Tensor of shape (p, n, width)
            Tokens of points and boxes.
        prepared : Prepared, optional
        ambiguous : bool
        """
        own = self._own_tokens()
        tokens = torch.cat([own.expand(prompts.shape[0], -1, -1), prompts], dim=1)
        tokens, told = self.transformer(image, tokens, prepared)
        iou = self.iou_prediction_head(tokens[:, 0])
        return Understood(tokens[:, : len(own)], told, iou[:, 1:] if ambiguous else iou[:, :1])

    def draw(self, understood: Understood, fine: Tensor | None = None) -> Tensor:
        """Logits ``(p, m, 4 h, 4 w)``.

        Parameters
        ----------
        understood : Understood
        fine : Tensor of shape (1, width / 8, 4 h, 4 w), optional
            What the decoder of SAM-HQ knows of the image beside.
        """
        return self._masks(understood, self.output_upscaling(understood.image))

    def _own_tokens(self) -> Tensor:
        return torch.cat([self.iou_token.weight, self.mask_tokens.weight])

    def _masks(self, understood: Understood, upscaled: Tensor) -> Tensor:
        """Sums of the channels of ``(p, h * w, 16, width / 8)``, weighted by what the tokens say."""
        chosen = range(1, 1 + CANDIDATES) if understood.iou.shape[1] > 1 else range(1)
        tokens = understood.tokens
        weights = torch.stack([self.output_hypernetworks_mlps[i](tokens[:, 1 + i]) for i in chosen], dim=1)
        return self.output_upscaling.as_image(torch.bmm(weights, upscaled.flatten(1, 2).transpose(1, 2)))


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
        self.compress_vit_feat = upscaling(early, LayerNorm2d(width), width, width // 8)
        self.embedding_encoder = upscaling(width, LayerNorm2d(width // 4), width // 4, width // 8)
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

    def understand(
        self, image: Tensor, prompts: Tensor, prepared: Prepared | None = None, *, ambiguous: bool
    ) -> Understood:
        understood = super().understand(image, prompts, prepared, ambiguous=ambiguous)
        if self._alone:
            return replace(understood, iou=understood.iou.amax(dim=1, keepdim=True))
        return understood

    def draw(self, understood: Understood, fine: Tensor | None = None) -> Tensor:
        if fine is None:
            raise TypeError("SAM-HQ needs the fine features of the image: give what fuse() made of it")
        upscaled = self.output_upscaling(understood.image)
        finer = self._finer(self.hf_mlp(understood.tokens[:, -1]), upscaled, fine)
        if self._alone:
            return finer
        masks, iou = self._masks(understood, upscaled), understood.iou
        best = torch.arange(masks.shape[1], device=iou.device) == iou.argmax(dim=1, keepdim=True)
        return masks + finer * best[..., None, None]

    def _finer(self, weights: Tensor, upscaled: Tensor, fine: Tensor) -> Tensor:
        """``(p, 1, 4 h, 4 w)``: the weighted sum of the channels of ``embedding_maskfeature(upscaled) + fine``.

        The last convolution and the sum are both linear: summed first, it has one channel to make and not `c`.

        Parameters
        ----------
        weights : Tensor of shape (p, c)
        upscaled : Tensor of shape (p, h * w, 16, c)
        fine : Tensor of shape (1, c, 4 h, 4 w)
        """
        inner = self.embedding_maskfeature[:-1](self.output_upscaling.as_images(upscaled))
        weight, bias = (self.embedding_maskfeature[-1].get_parameter(name) for name in ("weight", "bias"))
        kernel = torch.einsum("po,oiyx->pyxi", weights, weight.flip(2, 3)).flatten(1, 2)
        taps = torch.einsum("pti,pihw->pthw", kernel, inner)
        finer = functional.fold(taps.flatten(2), inner.shape[2:], kernel_size=3, padding=1)
        return finer + (weights @ bias)[:, None, None, None] + torch.einsum("pc,chw->phw", weights, fine[0])[:, None]

    def _own_tokens(self) -> Tensor:
        return torch.cat([super()._own_tokens(), self.hf_token.weight])
