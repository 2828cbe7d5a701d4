"""Prompts as tokens and as a picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from promptile.models.sam.nets.layers import LayerNorm2d

NOTHING = -1
"""Label of a point that is none; 0 is not the object, 1 is the object, 2 and 3 are the corners of a box."""


class PromptEncoder(nn.Module):
    """Places and masks in the words of the decoder.

    Parameters
    ----------
    side : int
        Of the model's input, in pixels.
    tokens : int
        Side of the embedding.
    masks : bool
        Whether masks can be given.
    width : int
    """

    def __init__(self, side: int, tokens: int, *, masks: bool, width: int = 256) -> None:
        super().__init__()
        self._side = side
        self._tokens = tokens
        self.pe_layer = RandomFrequencies(width // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = _downscaling(width) if masks else None

    def places(self) -> Tensor:
        """``(1, width, tokens, tokens)``: where each token of the image is."""
        middles = (torch.arange(self._tokens, device=self.no_mask_embed.weight.device) + 0.5) / self._tokens
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        encoded: Tensor = self.pe_layer(torch.stack([x, y], dim=-1))
        return encoded.permute(2, 0, 1)[None]

    def sparse(self, points: Tensor, labels: Tensor, *, nowhere: bool = True) -> Tensor:
        """``(p, n, width)``: one token for each point ``(p, n, 2)``, as x and y in pixels, with its label ``(p, n)``.

        `nowhere`: a point that is none has no place either.
        """
        place: Tensor = self.pe_layer((points + 0.5) / self._side)
        if nowhere:
            place = place * (labels != NOTHING)[..., None]
        meanings = torch.cat(
            [embedding(labels.new_zeros(1)) for embedding in (self.not_a_point_embed, *self.point_embeddings)]
        )
        return place + meanings[labels - NOTHING]

    def dense(self, masks: Tensor | None) -> Tensor:
        """``(p, width, tokens, tokens)`` for masks ``(p, 1, 4 tokens, 4 tokens)``, or ``(1, width, 1, 1)`` for none."""
        if masks is None or self.mask_downscaling is None:
            return self.no_mask_embed.weight[:, :, None, None]
        picture: Tensor = self.mask_downscaling(masks)
        return picture


class RandomFrequencies(nn.Module):
    """Sines and cosines of places ``(..., 2)``, x and y from 0 to 1, at frequencies that training drew once."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.zeros(2, count))

    def forward(self, places: Tensor) -> Tensor:
        angles = 2 * math.pi * ((2 * places - 1) @ self.get_buffer("positional_encoding_gaussian_matrix"))
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _downscaling(width: int, channels: int = 16) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels // 4, 2, 2),
        LayerNorm2d(channels // 4),
        nn.GELU(),
        nn.Conv2d(channels // 4, channels, 2, 2),
        LayerNorm2d(channels),
        nn.GELU(),
        nn.Conv2d(channels, width, 1),
    )
