"""TinyViT as MobileSAM and Light HQ-SAM use it: convolutions, then windows; its last stage is not coarser."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from promptile.models.sam.nets.layers import into_windows, neck, out_of_windows

_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)
_STRIDES = (2, 2, 1)
"""Of the steps between the stages."""


class TinyVit(nn.Module):
    """Images ``(n, 3, side, side)`` to embeddings ``(n, out, side / 16, side / 16)``."""

    def __init__(self, out: int = 256) -> None:
        super().__init__()
        half = _WIDTHS[0] // 2
        stem = nn.Sequential(Convolution(3, half, 3, stride=2), nn.GELU(), Convolution(half, _WIDTHS[0], 3, stride=2))
        self.patch_embed = nn.ModuleDict({"seq": stem})
        self.layers = nn.ModuleList(Stage(i) for i in range(len(_DEPTHS)))
        self.neck = neck(_WIDTHS[-1], out)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings, and the early feature ``(n, 160, h, w)``: what the second stage gives."""
        x = self.patch_embed["seq"](images.contiguous(memory_format=torch.channels_last))  # a quarter faster on CPUs
        early = x
        for i, stage in enumerate(self.layers):
            x = stage(x)
            early = x if i == 1 else early
        return self.neck(x), early


class Convolution(nn.Module):
    """A convolution without bias and batch normalisation."""

    def __init__(self, channels: int, out: int, side: int = 1, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(channels, out, side, stride, side // 2, groups=groups, bias=False)
        self.bn: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.c(x))
        return out

    def fold(self) -> None:
        """Make one convolution of both, which is a fifth faster; for networks that are not trained further."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.c = fuse_conv_bn_eval(self.c, self.bn)
            self.c.weight.data = self.c.weight.data.contiguous(memory_format=torch.channels_last)
            self.bn = nn.Identity()


class Stage(nn.Module):
    """Blocks of one resolution, and the step to the next; images are ``(n, c, h, w)``."""

    def __init__(self, i: int) -> None:
        super().__init__()
        width = _WIDTHS[i]
        blocks = (Bottleneck(width) if i == 0 else Block(width, _HEADS[i], _WINDOWS[i]) for _ in range(_DEPTHS[i]))
        self.blocks = nn.ModuleList(blocks)
        self.downsample = Step(width, _WIDTHS[i + 1], _STRIDES[i]) if i < len(_STRIDES) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.downsample(x)
        return out


class Bottleneck(nn.Module):
    """Convolutions through four times as many channels, and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = Convolution(width, 4 * width)
        self.conv2 = Convolution(4 * width, 4 * width, 3, groups=4 * width)
        self.conv3 = Convolution(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.gelu(self.conv2(functional.gelu(self.conv1(x))))
        return functional.gelu(x + self.conv3(inner))


class Step(nn.Module):
    """From one stage to the next: other channels, and coarser by `stride`."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(width, out)
        self.conv2 = Convolution(out, out, 3, stride=stride, groups=out)
        self.conv3 = Convolution(out, out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(x)))))
        return out


class Block(nn.Module):
    """Attention within windows, a local convolution, a feed-forward part."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads, window)
        self.local_conv = Convolution(width, width, 3, groups=width)
        self.mlp = FeedForward(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        x = (last + self.attn(last)).permute(0, 3, 1, 2)
        last = self.local_conv(x).permute(0, 2, 3, 1)
        out: Tensor = (last + self.mlp(last)).permute(0, 3, 1, 2)
        return out


class FeedForward(nn.Module):
    """Normalisation and two linear layers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(self.norm(x))))
        return out


class Attention(nn.Module):
    """Self-attention of ``(n, h, w, width)`` within windows, with a bias for how far apart two tokens are."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))

    def forward(self, x: Tensor) -> Tensor:
        shape = (x.shape[1], x.shape[2])
        windows = self.norm(into_windows(x, self.window))  # what was added at the end is normalised too
        n, width = windows.shape[0], windows.shape[-1]
        qkv = self.qkv(windows).reshape(n, self.window**2, self.heads, 3, -1)
        q, k, v = qkv.permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[None, :, _apart(self.window, x.device)]
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return out_of_windows(self.proj(seen.transpose(1, 2).reshape(n, self.window, self.window, width)), shape)


def _apart(window: int, device: torch.device) -> Tensor:
    """``(window**2, window**2)``: which bias each pair of tokens has, by how many rows and columns they are apart."""
    place = torch.arange(window, device=device)
    apart = (place[:, None] - place).abs()
    return (apart[:, None, :, None] * window + apart[None, :, None, :]).reshape(window**2, window**2)
