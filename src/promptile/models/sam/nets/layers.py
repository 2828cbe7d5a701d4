"""Small parts that the encoders and decoders share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]


class LayerNorm2d(nn.Module):
    """Layer normalisation of images ``(n, c, h, w)`` over their channels."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        last = functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return last.permute(0, 3, 1, 2)


class Perceptron(nn.Module):
    """Three linear layers with an activation between them: ``(..., width)`` to ``(..., out)``."""

    def __init__(self, width: int, hidden: int, out: int, activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out)])
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        out: Tensor = last(self.activation(second(self.activation(first(x)))))
        return out


class FeedForward(nn.Module):
    """The two linear layers of a transformer block."""

    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(self.activation(self.lin1(x)))
        return out


def neck(width: int, out: int) -> nn.Sequential:
    """What turns the tokens of an encoder, ``(n, width, h, w)``, into an embedding of `out` channels."""
    return nn.Sequential(
        nn.Conv2d(width, out, 1, bias=False),
        LayerNorm2d(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        LayerNorm2d(out),
    )


def into_windows(x: Tensor, side: int) -> Tensor:
    """Cut ``(n, h, w, c)`` into ``(windows, side, side, c)``; zeros are added at the end where it does not divide."""
    n, h, w, c = x.shape
    rows, columns = _count(h, side), _count(w, side)
    x = functional.pad(x, (0, 0, 0, columns * side - w, 0, rows * side - h))
    return x.reshape(n, rows, side, columns, side, c).transpose(2, 3).reshape(-1, side, side, c)


def out_of_windows(windows: Tensor, shape: tuple[int, int]) -> Tensor:
    """Put the windows of images of `shape` together again: ``(n, *shape, c)``."""
    side, c = windows.shape[1], windows.shape[3]
    rows, columns = _count(shape[0], side), _count(shape[1], side)
    x = windows.reshape(-1, rows, columns, side, side, c).transpose(2, 3)
    return x.reshape(-1, rows * side, columns * side, c)[:, : shape[0], : shape[1]]


def _count(length: int, side: int) -> int:
    """How many windows cover a length; written without negative numbers, which ONNX divides in another way."""
    return (length + side - 1) // side
