"""`Network`: an ONNX export of FastSAM, run by ONNX Runtime. Needs the extra ``onnx``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from promptile.errors import ModelError
from promptile.models.fastsam.variants import Variant
from promptile.models.weights import complaint

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_HALVES = 32
_ROWS = 4 + 1 + _HALVES
"""Of the first output: a box, its confidence, and a weight for each prototype."""
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Network:
    """An export on a device, ready to answer; may be asked by several threads.

    Parameters
    ----------
    variant : Variant
    path : Path
        The ``.onnx`` file.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ModelError
        If the device is not there, or the file is no export of FastSAM.
    """

    def __init__(self, variant: Variant, path: Path, device: str) -> None:
        self.device = _device(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=_providers(self.device))
        except Exception as error:  # its errors share no base class
            raise ModelError(f"{path} is no ONNX file that can be run, {complaint(path)}") from error
        (given, *others), outputs = self._session.get_inputs(), self._session.get_outputs()
        self._input, self._outputs = given.name, [output.name for output in outputs]
        shapes = [output.shape for output in outputs]
        square = [n for n in given.shape[2:] if isinstance(n, int)]
        fits = not others and len(given.shape) == 4 and len(set(square)) < 2 and given.type in _TYPES
        if not fits or [len(shape) for shape in shapes] != [3, 4] or shapes[0][1] not in (_ROWS, None):
            raise ModelError(
                f"{path} is no export of {variant.checkpoint}: its outputs are {shapes}, and (1, {_ROWS}, n) and "
                f"(1, {_HALVES}, n, n) are needed, from a square: make it with {variant.recipe}"
            )
        self.side = square[0] if square else 1024
        self._type = _TYPES[given.type]

    def run(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes ``(37, n)`` and prototypes ``(32, side / 4, side / 4)`` of an image ``(3, side, side)``, 0 to 1."""
        found, prototypes = self._session.run(self._outputs, {self._input: image[None].astype(self._type)})
        return found[0].astype(np.float32), prototypes[0].astype(np.float32)


def _device(device: str) -> str:
    there = onnxruntime.get_available_providers()
    if device == "auto":
        return "cuda" if _PROVIDERS["cuda"] in there else "cpu"
    kind = device.partition(":")[0]
    if _PROVIDERS.get(kind) not in there:
        raise ModelError(
            f"ONNX Runtime here does not compute on {device!r}: use --device cpu, or install onnxruntime-gpu for cuda"
        )
    return device


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return [_PROVIDERS["cpu"]]
    return [(_PROVIDERS[kind], {"device_id": number or "0"}), _PROVIDERS["cpu"]]
