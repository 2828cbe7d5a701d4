"""From the tokens of an image to a picture with four times as many rows and columns."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.layers import LayerNorm2d


class Upscaling(nn.Sequential):
    """Tokens ``(p, h * w, width)`` of square images to ``(p, h * w, 16, width / 8)``: four by four pixels in each.

    A transposed convolution whose kernel is as large as its stride gives each pixel pixels of its own: it is one
    product of matrices, and the channels of a pixel stay side by side. The 16 are ordered as rows and columns of the
    first step, then of the second.

    Parameters
    ----------
    width : int
    norm : nn.GroupNorm, optional
        Instead of one over the channels of each pixel.
    """

    def __init__(self, width: int, norm: nn.GroupNorm | None = None) -> None:
        super().__init__(*upscaling(width, norm or LayerNorm2d(width // 4), width // 4, width // 8), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        first, norm, _, second, _ = self
        x = self._normed(_finer(x[:, :, None], first), norm)
        return functional.gelu(_finer(functional.gelu(x), second))

    def as_image(self, masks: Tensor) -> Tensor:
        """``(p, m, 4 h, 4 w)``: values ``(p, m, h * w * 16)`` of the pixels in their places."""
        side = math.isqrt(masks.shape[2] // 16)
        x = masks.reshape(*masks.shape[:2], side, side, 2, 2, 2, 2)
        return x.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(*masks.shape[:2], 4 * side, 4 * side)

    def as_images(self, upscaled: Tensor) -> Tensor:
        """``(p, c, 4 h, 4 w)``: the same for all channels ``(p, h * w, 16, c)``, which stay side by side in memory."""
        p, count, _, c = upscaled.shape
        side = math.isqrt(count)
        x = upscaled.reshape(p, side, side, 2, 2, 2, 2, c)
        return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(p, 4 * side, 4 * side, c).permute(0, 3, 1, 2)

    def _normed(self, x: Tensor, norm: nn.Module) -> Tensor:
        """Normalised ``(p, h * w, 4, c)``."""
        weight, bias = norm.get_parameter("weight"), norm.get_parameter("bias")
        if isinstance(norm, LayerNorm2d):
            return functional.layer_norm(x, weight.shape, weight, bias, norm.eps)
        whole = functional.group_norm(x.flatten(1)[:, None], 1)  # one group: all of an image
        return whole.reshape(x.shape) * weight + bias


def upscaling(width: int, norm: nn.Module, inner: int, out: int) -> nn.Sequential:
    """Layers that make an image ``(n, width, h, w)`` four times as large, with `out` channels."""
    return nn.Sequential(nn.ConvTranspose2d(width, inner, 2, 2), norm, nn.GELU(), nn.ConvTranspose2d(inner, out, 2, 2))


def _finer(x: Tensor, layer: nn.Module) -> Tensor:
    """``(p, n, 4 k, out)`` for pixels ``(p, n, k, channels)``: four for each."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    matrix = weight.permute(2, 3, 1, 0).flatten(0, 2)
    return functional.linear(x, matrix, bias.repeat(4)).reshape(*x.shape[:2], 4 * x.shape[2], -1)
