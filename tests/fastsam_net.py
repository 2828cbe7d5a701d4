"""The network of FastSAM, YOLOv8-seg with one class, with random weights, and its ONNX export: for tests only.

Written from what is published of the architecture. ``python tests/fastsam_net.py s FastSAM-s.onnx`` makes an export of
the size and with the outputs of the real one.
"""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

PROTOTYPES = 32
BINS = 16
STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Size:
    """How deep and wide the network is, and how many channels it has at most before it is widened."""

    depth: float
    width: float
    most: int

    def channels(self, n: int) -> int:
        return math.ceil(min(n, self.most) * self.width / 8) * 8

    def repeats(self, n: int) -> int:
        return max(round(n * self.depth), 1)


SIZES = {"s": Size(0.33, 0.5, 1024), "x": Size(1.0, 1.25, 512), "tiny": Size(0.33, 0.125, 256)}


class Conv(nn.Sequential):
    def __init__(self, given: int, wanted: int, kernel: int = 1, stride: int = 1) -> None:
        convolution = nn.Conv2d(given, wanted, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(wanted, eps=1e-3), nn.SiLU())


class Bottleneck(nn.Module):
    def __init__(self, width: int, *, shortcut: bool) -> None:
        super().__init__()
        self.body, self.shortcut = nn.Sequential(Conv(width, width, 3), Conv(width, width, 3)), shortcut

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class C2f(nn.Module):
    """Bottlenecks in a row; what comes out of each is kept."""

    def __init__(self, given: int, wanted: int, count: int, *, shortcut: bool = False) -> None:
        super().__init__()
        half = wanted // 2
        self.enter, self.leave = Conv(given, 2 * half), Conv((2 + count) * half, wanted)
        self.body = nn.ModuleList(Bottleneck(half, shortcut=shortcut) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        kept = list(self.enter(x).chunk(2, 1))
        for each in self.body:
            kept.append(each(kept[-1]))
        return self.leave(torch.cat(kept, 1))


class Pyramid(nn.Module):
    """SPPF: maxima over wider and wider surroundings."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave, self.pool = Conv(width, width // 2), Conv(2 * width, width), nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.enter(x)]
        for _ in range(3):
            kept.append(self.pool(kept[-1]))
        return self.leave(torch.cat(kept, 1))


def _branch(given: int, between: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(Conv(given, between, 3), Conv(between, between, 3), nn.Conv2d(between, wanted, 1))


class Heads(nn.Module):
    """Boxes, confidences and weights of prototypes of each anchor, and the prototypes."""

    def __init__(self, widths: list[int], between: int) -> None:
        super().__init__()
        first = widths[0]
        self.boxes = nn.ModuleList(_branch(w, max(16, first // 4, 4 * BINS), 4 * BINS) for w in widths)
        self.scores = nn.ModuleList(_branch(w, first, 1) for w in widths)
        self.weights = nn.ModuleList(_branch(w, max(first // 4, PROTOTYPES), PROTOTYPES) for w in widths)
        self.prototypes = nn.Sequential(
            Conv(first, between, 3), nn.ConvTranspose2d(between, between, 2, 2), Conv(between, between, 3),
            Conv(between, PROTOTYPES),
        )  # fmt: skip
        self.bins = nn.Conv2d(BINS, 1, 1, bias=False)  # the mean of a distribution over distances
        self.bins.weight.data[:] = torch.arange(BINS).float().view(1, BINS, 1, 1)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        found = [self._found(i, x) for i, x in enumerate(maps)]
        return torch.cat(found, 2), self.prototypes(maps[0])

    def _found(self, i: int, x: Tensor) -> Tensor:
        rows, columns = x.shape[2:]
        sides = self.boxes[i](x).reshape(1, 4, BINS, rows * columns).transpose(1, 2).softmax(1)
        low, high = self.bins(sides).reshape(1, 4, -1).chunk(2, 1)
        y, x_ = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
        anchors = torch.stack([x_.reshape(-1), y.reshape(-1)])[None]
        first, last = anchors - low, anchors + high
        boxes = torch.cat([(first + last) / 2, last - first], 1) * STRIDES[i]
        return torch.cat([boxes, self.scores[i](x).flatten(2).sigmoid(), self.weights[i](x).flatten(2)], 1)


class Net(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        c = [size.channels(n) for n in (64, 128, 256, 512, 1024)]
        three, six = size.repeats(3), size.repeats(6)
        self.to_8 = nn.Sequential(
            Conv(3, c[0], 3, 2), Conv(c[0], c[1], 3, 2), C2f(c[1], c[1], three, shortcut=True),
            Conv(c[1], c[2], 3, 2), C2f(c[2], c[2], six, shortcut=True),
        )  # fmt: skip
        self.to_16 = nn.Sequential(Conv(c[2], c[3], 3, 2), C2f(c[3], c[3], six, shortcut=True))
        self.to_32 = nn.Sequential(Conv(c[3], c[4], 3, 2), C2f(c[4], c[4], three, shortcut=True), Pyramid(c[4]))
        self.up_16, self.up_8 = C2f(c[4] + c[3], c[3], three), C2f(c[3] + c[2], c[2], three)
        self.halve_8, self.down_16 = Conv(c[2], c[2], 3, 2), C2f(c[2] + c[3], c[3], three)
        self.halve_16, self.down_32 = Conv(c[3], c[3], 3, 2), C2f(c[3] + c[4], c[4], three)
        self.larger = nn.Upsample(scale_factor=2, mode="nearest")
        self.heads = Heads([c[2], c[3], c[4]], size.channels(256))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        at_8 = self.to_8(image)
        at_16 = self.to_16(at_8)
        at_32 = self.to_32(at_16)
        middle = self.up_16(torch.cat([self.larger(at_32), at_16], 1))
        fine = self.up_8(torch.cat([self.larger(middle), at_8], 1))
        middle = self.down_16(torch.cat([self.halve_8(fine), middle], 1))
        coarse = self.down_32(torch.cat([self.halve_16(middle), at_32], 1))
        return self.heads([fine, middle, coarse])


def build(size: str, seed: int = 0) -> Net:
    """A network with random weights and normal activations, so that confidences differ from anchor to anchor."""
    torch.manual_seed(seed)
    net = Net(SIZES[size]).train()
    for each in net.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.momentum = 1.0
    with torch.inference_mode():
        net(torch.rand(1, 3, 256, 256))  # leaves means and deviations behind
    for branch in net.heads.scores:
        branch[-1].weight.data.normal_(std=2 / math.sqrt(branch[-1].in_channels))
        branch[-1].bias.data[:] = -3
    return net.eval()


def export(size: str, path: Path | str, side: int = 1024, seed: int = 0) -> None:
    """Write a network as its authors' tools do: one square image in, ``output0`` and ``output1`` out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(
            build(size, seed), (torch.zeros(1, 3, side, side),), str(path), dynamo=False, opset_version=17,
            input_names=["images"], output_names=["output0", "output1"],
        )  # fmt: skip


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2])
