"""Networks computed by OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
from numpy.typing import NDArray

from promptile.models.runtimes.protocol import Arrays


class OpenVinoSession:
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
        self._idle: list[openvino.InferRequest] = []

    @property
    def inputs(self) -> dict[str, list[int | None]]:
        return {
            port.any_name: [n.get_length() if n.is_static else None for n in port.partial_shape]
            for port in self._network.inputs
        }

    @property
    def outputs(self) -> list[str]:
        return [port.any_name for port in self._network.outputs]

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        # A request serves one thread at a time; taking from a list and putting back is safe between threads.
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._network.create_infer_request()
        try:
            answers = request.infer(dict(arrays), share_outputs=False)
            return {name: answers[name] for name in self.outputs}
        finally:
            self._idle.append(request)
