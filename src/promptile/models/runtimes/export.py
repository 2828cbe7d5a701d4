"""From a network in torch to an ONNX file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx.symbolic_helper import parse_args
from torch.onnx.utils import register_custom_op_symbolic

_OPSET = 18


@dataclass(frozen=True, eq=False)
class Graph:
    """A network, or a part of it, that is exported for itself."""

    module: nn.Module
    inputs: Mapping[str, Tensor]
    """Examples by name, in the order in which `module` takes them."""
    outputs: Sequence[str]
    lengths: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Axes of inputs and outputs that may have any length, and a name for it; those of other graphs do no harm."""


def write_graph(graph: Graph, path: Path) -> None:
    """Write a network as ONNX; weights beyond 2 GB lie in files beside it."""
    names = {*graph.inputs, *graph.outputs}
    # The newer exporter needs one package more, and writes shapes of the examples into what should take any.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about tracing, which is right for networks that do not choose
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: dict(axes) for name, axes in graph.lengths.items() if name in names},
        )


@parse_args("v", "i", "v")
def _unflatten(graph: Any, x: Any, axis: int, lengths: Any) -> Any:
    """`Tensor.unflatten` in ONNX: torch's own leaves the axis to be computed, and so takes all lengths for fixed."""

    def numbers(*values: int) -> Any:
        return graph.op("Constant", value_t=torch.tensor(values))

    rank = x.type().dim()
    axis %= rank
    shape = graph.op("Shape", x)
    before, after = (graph.op("Slice", shape, numbers(i), numbers(j)) for i, j in ((0, axis), (axis + 1, rank)))
    return graph.op("Reshape", x, graph.op("Concat", before, lengths, after, axis_i=0))


@parse_args("v", "v", "v", "is", "is", "is")
def _fold(graph: Any, x: Any, shape: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """`functional.fold` in ONNX: torch's own refuses lengths that it does not know."""
    both = [length for length in padding for _ in range(2)]
    return graph.op("Col2Im", x, shape, kernel, dilations_i=dilation, pads_i=both, strides_i=stride)


register_custom_op_symbolic("aten::col2im", _fold, _OPSET)
register_custom_op_symbolic("aten::unflatten", _unflatten, _OPSET)
