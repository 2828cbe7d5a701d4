"""Networks computed by OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from promptile.models.runtimes.protocol import Arrays, Port

_RESULT = "/sink_port_0"
"""What it adds to the name of an output."""


class OpenVinoGraph:
    """A network in an ONNX file, compiled for this machine.

    Parameters
    ----------
    path : path
    threads : int
    """

    def __init__(self, path: Path, threads: int) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # some CPUs would be given half of the digits
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # worker processes would all be bound to the first cores
        }
        self._network = openvino.Core().compile_model(str(path), "CPU", settings)
        # By their nodes: a port that is hardly computed with has the names of what follows too.
        self.inputs = {port.node.friendly_name: _port(port) for port in self._network.inputs}
        self.outputs = [port.node.friendly_name.removesuffix(_RESULT) for port in self._network.outputs]
        self._idle: list[openvino.InferRequest] = []

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        # A request serves one thread at a time; taking from a list and putting back is safe between threads.
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._network.create_infer_request()
        try:
            answers = request.infer([arrays[name] for name in self.inputs], share_outputs=False)
            return dict(zip(self.outputs, answers.to_tuple(), strict=True))
        finally:
            self._idle.append(request)


def _port(port: Any) -> Port:
    shape = port.partial_shape
    lengths = None if shape.rank.is_dynamic else [n.get_length() if n.is_static else None for n in shape]
    return Port(lengths, np.dtype(port.element_type.to_dtype()))
