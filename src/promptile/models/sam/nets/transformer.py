"""Tokens and image attend to each other, in both directions.

An image has thousands of tokens and a prompt a handful. So all that can be is done on the side of the few: queries and
values of theirs are brought to the image's channels, instead of projecting the image for each prompt; where the image
is, is projected once; and what the first block projects of the image depends on no prompt.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.layers import Activation, FeedForward


class Prepared(NamedTuple):
    """What the first block projects of an image, whatever the prompt; each ``(1, heads, h * w, c)``."""

    keys: Tensor
    values: Tensor
    queries: Tensor


class TwoWayTransformer(nn.Module):
    """Two blocks, and a last look of the tokens at the image.

    Parameters
    ----------
    activation : callable
    additive : bool
        EfficientSAM: the tokens' places are added to them, and the first block adds to the tokens too.
    width, heads : int
    """

    def __init__(self, activation: Activation, *, additive: bool, width: int = 256, heads: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(activation, width, heads, first=i == 0, additive=additive) for i in range(2)
        )
        self.final_attn_token_to_image = TokensToImage(width, heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def settle(self, places: Tensor) -> None:
        """Say once where the image's tokens are, ``(1, h * w, width)``."""
        for part in self.modules():
            if isinstance(part, TokensToImage | ImageToTokens):
                part.settle(places)

    def prepare(self, image: Tensor) -> Prepared:
        """For an image ``(1, h * w, width)`` that is asked about often."""
        return cast("TwoWayBlock", self.layers[0]).prepare(image)

    def forward(self, image: Tensor, tokens: Tensor, prepared: Prepared | None = None) -> tuple[Tensor, Tensor]:
        """Tokens ``(p, n, width)`` and image ``(p, h * w, width)`` that know of each other.

        `image` is ``(p, h * w, width)``, or ``(1, h * w, width)`` with what was `prepared` of it; `tokens` are their
        own places.
        """
        queries, keys = self.layers[0](tokens, image, tokens, prepared)
        queries, keys = self.layers[1](queries, keys, tokens)
        seen = self.final_attn_token_to_image(queries + tokens, keys)
        return self.norm_final_attn(queries + seen), keys


class TwoWayBlock(nn.Module):
    """Tokens to tokens, tokens to image, a feed-forward part, image to tokens."""

    def __init__(self, activation: Activation, width: int, heads: int, *, first: bool, additive: bool) -> None:
        super().__init__()
        self._first = first
        self._additive = additive
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = TokensToImage(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, 8 * width, activation)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = ImageToTokens(width, heads, width // 2)

    def prepare(self, image: Tensor) -> Prepared:
        keys, values = self.cross_attn_token_to_image.prepare(image)
        return Prepared(keys, values, self.cross_attn_image_to_token.prepare(image))

    def forward(
        self, tokens: Tensor, image: Tensor, meanings: Tensor, prepared: Prepared | None = None
    ) -> tuple[Tensor, Tensor]:
        tokens = self.norm1(self._among_tokens(tokens, meanings))
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + meanings, image, prepared))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(self.cross_attn_image_to_token(image, tokens + meanings, tokens, prepared))
        return tokens, image

    def _among_tokens(self, tokens: Tensor, meanings: Tensor) -> Tensor:
        told = tokens if self._first else tokens + meanings
        heard: Tensor = self.self_attn(told, told, told if self._additive else tokens)
        if self._additive:
            return told + heard
        return heard if self._first else tokens + heard


class Attention(nn.Module):
    """Attention of ``(p, n, width)`` to ``(p, m, width)``, through `inner` channels."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self._heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        q, k, v = self._split(self.q_proj(queries)), self._split(self.k_proj(keys)), self._split(self.v_proj(values))
        seen = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """``(p, n, inner)`` as ``(p, heads, n, c)``."""
        return x.reshape(*x.shape[:2], self._heads, -1).transpose(1, 2)

    def _by_head(self, weight: Tensor) -> Tensor:
        """A projection ``(inner, width)`` as ``(heads, c, width)``."""
        return weight.reshape(self._heads, -1, weight.shape[1])


class TokensToImage(Attention):
    """Attention of a few tokens to all of an image."""

    places: Tensor
    """``(heads, h * w, c)``: the keys of where the image's tokens are."""

    def settle(self, places: Tensor) -> None:
        # A bias adds the same to a query's products with all keys, which changes nothing.
        keys = self._split(functional.linear(places, self.k_proj.weight))[0].contiguous()
        self.register_buffer("places", keys, persistent=False)

    def prepare(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of an image ``(1, h * w, width)``."""
        keys = self._split(functional.linear(image, self.k_proj.weight)) + self.places
        return keys, self._split(self.v_proj(image)).contiguous()

    def forward(self, tokens: Tensor, image: Tensor, prepared: Prepared | None = None) -> Tensor:  # type: ignore[override]
        q = self._split(self.q_proj(tokens))
        p, heads, n, c = q.shape
        if prepared is not None:
            rows = q.transpose(0, 1).reshape(1, heads, p * n, c)
            seen = functional.scaled_dot_product_attention(rows, prepared.keys, prepared.values)
            seen = seen.reshape(heads, p, n, c).permute(1, 2, 0, 3)
        else:
            q = q * c**-0.5
            far = torch.einsum("phnc,hcw->phnw", q, self._by_head(self.k_proj.weight)).flatten(1, 2)
            products = torch.bmm(far, image.transpose(1, 2)).reshape(p, heads, n, -1)
            products = products + torch.einsum("phnc,hmc->phnm", q, self.places)
            seen = torch.bmm(products.softmax(dim=-1).flatten(1, 2), image).reshape(p, heads, n, -1)
            seen = torch.einsum("phnw,hcw->pnhc", seen, self._by_head(self.v_proj.weight))
            seen = seen + self.v_proj.bias.reshape(heads, c)
        out: Tensor = self.out_proj(seen.flatten(2))
        return out


class ImageToTokens(Attention):
    """Attention of all of an image to a few tokens, added to the image."""

    places: Tensor
    """``(heads, h * w, c)``: the queries of where the image's tokens are."""

    def settle(self, places: Tensor) -> None:
        self.register_buffer("places", self._split(self.q_proj(places))[0].contiguous(), persistent=False)

    def prepare(self, image: Tensor) -> Tensor:
        """Queries of an image ``(1, h * w, width)``."""
        return self._split(functional.linear(image, self.q_proj.weight)) + self.places

    def forward(self, image: Tensor, keys: Tensor, values: Tensor, prepared: Prepared | None = None) -> Tensor:
        k = self._split(self.k_proj(keys))
        k = k * k.shape[-1] ** -0.5
        p, heads, n, c = k.shape
        if prepared is not None:
            products = torch.einsum("phnc,hmc->phnm", k, prepared.queries[0])
        else:
            far = torch.einsum("phnc,hcw->phnw", k, self._by_head(self.q_proj.weight)).flatten(1, 2)
            products = torch.bmm(far, image.transpose(1, 2)).reshape(p, heads, n, -1)
            products = products + torch.einsum("phnc,hmc->phnm", k, self.places)
        weights = products.softmax(dim=2).flatten(1, 2)
        v = self._split(self.v_proj(values))
        # Each head's weights sum to 1: so do a share of the bias in each.
        told = torch.einsum("phnc,whc->phnw", v, self.out_proj.weight.reshape(-1, heads, c))
        told = (told + self.out_proj.bias / heads).flatten(1, 2)
        return torch.baddbmm(image, weights.transpose(1, 2), told)
