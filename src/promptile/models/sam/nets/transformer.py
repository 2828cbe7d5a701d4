"""Tokens and image attend to each other, in both directions.

The image's tokens have a batch of 1 until the prompts' have told them something: what does not depend on a prompt is
computed once for all of them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.layers import Activation, FeedForward


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
        self.final_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, places: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``(p, n, width)`` and image ``(p, h * w, width)`` that know of each other.

        `image` is ``(1 or p, h * w, width)``, `places` ``(1, h * w, width)``; `tokens` are their own places.
        """
        queries, keys = tokens, image
        for block in self.layers:
            queries, keys = block(queries, keys, tokens, places)
        seen = self.final_attn_token_to_image(queries + tokens, keys + places, keys)
        return self.norm_final_attn(queries + seen), keys


class TwoWayBlock(nn.Module):
    """Tokens to tokens, tokens to image, a feed-forward part, image to tokens."""

    def __init__(self, activation: Activation, width: int, heads: int, *, first: bool, additive: bool) -> None:
        super().__init__()
        self._first = first
        self._additive = additive
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, 8 * width, activation)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, width // 2)

    def forward(self, tokens: Tensor, image: Tensor, meanings: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.norm1(self._among_tokens(tokens, meanings))
        keys = image + places
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + meanings, keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(keys, tokens + meanings, tokens))
        return tokens, image

    def _among_tokens(self, tokens: Tensor, meanings: Tensor) -> Tensor:
        told = tokens if self._first else tokens + meanings
        heard: Tensor = self.self_attn(told, told, told if self._additive else tokens)
        if self._additive:
            return told + heard
        return heard if self._first else tokens + heard


class Attention(nn.Module):
    """Attention of ``(p or 1, n, width)`` to ``(p or 1, m, width)``, through `inner` channels."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self._heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        count = max(len(queries), len(keys))
        q, k, v = (
            project(x).unflatten(-1, (self._heads, -1)).transpose(1, 2).expand(count, -1, -1, -1)
            for project, x in ((self.q_proj, queries), (self.k_proj, keys), (self.v_proj, values))
        )
        seen = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out
