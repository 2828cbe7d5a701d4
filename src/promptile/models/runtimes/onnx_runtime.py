"""Networks computed by ONNX Runtime, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from promptile.models.runtimes.protocol import Arrays


class OnnxSession:
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

    @property
    def inputs(self) -> dict[str, list[int | None]]:
        return {i.name: [n if isinstance(n, int) else None for n in i.shape] for i in self._session.get_inputs()}

    @property
    def outputs(self) -> list[str]:
        return [output.name for output in self._session.get_outputs()]

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        return dict(zip(self.outputs, self._session.run(None, dict(arrays)), strict=True))
