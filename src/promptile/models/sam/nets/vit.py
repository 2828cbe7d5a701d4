"""The plain vision transformer of SAM, with relative positions and windows, and of EfficientSAM, without."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.layers import FeedForward, into_windows, neck, out_of_windows

PIXELS = 16
"""Side of a token in pixels."""
WINDOW = 14
"""Side of a window in tokens."""
_EPS = 1e-6
_BIAS_BYTES = 64 * 2**20
"""Memory for the biases of attention: of all heads together they would take 0.8 GB and more."""


class Vit(nn.Module):
    """Images ``(n, 3, side, side)`` to embeddings ``(n, out, side / 16, side / 16)``.

    Parameters
    ----------
    side : int
    width, depth, heads : int
    spread : tuple of int
        Blocks that attend to the whole image, the others to windows; empty: all do, and know no relative positions.
    out : int
    """

    def __init__(
        self, side: int, width: int, depth: int, heads: int, spread: tuple[int, ...] = (), out: int = 256
    ) -> None:
        super().__init__()
        tokens = side // PIXELS
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PIXELS, PIXELS)})
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, tokens, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, tokens if i in spread or not spread else WINDOW, tokens, relative=bool(spread))
            for i in range(depth)
        )
        self.neck = neck(width, out)
        self._early = spread[0] if spread else 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings, and the early feature ``(n, width, h, w)``: what the first block gives that sees all."""
        x = self.patch_embed["proj"](images).permute(0, 2, 3, 1) + self.pos_embed
        early = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            early = x if i == self._early else early
        return self.neck(x.permute(0, 3, 1, 2)), early.permute(0, 3, 1, 2)


class Block(nn.Module):
    """One block on tokens ``(n, h, w, width)``, attending within windows of ``window x window`` tokens."""

    def __init__(self, width: int, heads: int, window: int, tokens: int, *, relative: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, heads, window if relative else 0)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = FeedForward(width, 4 * width, functional.gelu)
        self._window = window if window != tokens else 0

    def forward(self, x: Tensor) -> Tensor:
        seen = self.norm1(x)
        if self._window:
            shape = (seen.shape[1], seen.shape[2])
            seen = out_of_windows(self.attn(into_windows(seen, self._window)), shape)
        else:
            seen = self.attn(seen)
        x = x + seen
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Attention(nn.Module):
    """Self-attention of ``(n, s, s, width)``, with a bias for how far apart two tokens are if `side` s is given."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative = side > 0
        if self.relative:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, width = x.shape
        q, k, v = self.qkv(x).reshape(n, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.relative:
            together = max(1, _BIAS_BYTES // (n * (h * w) ** 2 * x.element_size()))
            parts = zip(*(t.split(together, dim=1) for t in (q, k, v)), strict=True)
            seen = torch.cat([self._attend(*part) for part in parts], dim=1)
        else:
            seen = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(seen.transpose(1, 2).reshape(n, h, w, width))
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention with the bias ``q . (rows apart) + q . (columns apart)``, all ``(n, heads, side * side, c)``."""
        n, heads, count, c = q.shape
        side = math.isqrt(count)
        places = q.reshape(n, heads, side, side, c)
        rows = torch.einsum("nayxc,ykc->nayxk", places, _apart(self.rel_pos_h, side))
        columns = torch.einsum("nayxc,xkc->nayxk", places, _apart(self.rel_pos_w, side))
        bias = (rows[..., :, None] + columns[..., None, :]).reshape(n, heads, count, count)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _apart(table: Tensor, side: int) -> Tensor:
    """``(side, side, c)``: the entry of ``(2 side - 1, c)`` for each pair of a query's and a key's place."""
    place = torch.arange(side, device=table.device)
    return table[place[:, None] - place[None, :] + side - 1]
