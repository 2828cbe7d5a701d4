"""Networks computed by ONNX Runtime, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from promptile.models.runtimes.protocol import Arrays, Port

_TYPES = {"float": "float32", "double": "float64"}
"""What is called otherwise in ONNX."""


class OnnxGraph:
    """A network in an ONNX file.

    Parameters
    ----------
    path : path
    threads : int
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors: what it could not simplify is of no use to anybody
        # Threads that wait by spinning would take the cores from torch, which prepares the next window.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = {port.name: _port(port) for port in self._session.get_inputs()}
        self.outputs = [port.name for port in self._session.get_outputs()]

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        return dict(zip(self.outputs, self._session.run(None, dict(arrays)), strict=True))


def _port(port: Any) -> Port:
    kind = port.type.removeprefix("tensor(").removesuffix(")")
    return Port([n if isinstance(n, int) else None for n in port.shape], np.dtype(_TYPES.get(kind, kind)))
