"""Which runtime computes, and how many threads it takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from promptile.errors import ModelError
from promptile.models.runtimes.protocol import LoadedGraph

RUNTIMES = ("auto", "torch", "onnx", "openvino")
"""What can be wished for."""

DEFAULT = "PROMPTILE_RUNTIME"
"""Environment variable: what is meant if nothing is said."""

_NEEDED = {"openvino": ("openvino", "onnx"), "onnx": ("onnxruntime", "onnx"), "torch": ("torch",)}
"""Packages that a runtime needs, with those that make the export; the fastest first."""


def default() -> str:
    """What is meant if nothing is said."""
    return os.environ.get(DEFAULT) or "auto"


def runtime_of(wish: str, device: str) -> str:
    """What computes: ``torch``, ``onnx`` or ``openvino``.

    Parameters
    ----------
    wish : str
        One of `RUNTIMES`; ``auto`` is torch on a GPU, and on a CPU the fastest that is installed.
    device : str
        Kind of the device: ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    ModelError
        If it is unknown or not installed, or does not compute there.
    """
    if wish not in RUNTIMES:
        raise unknown(wish)
    if wish == "auto":
        return next((name for name in _NEEDED if not _missing(name)), "torch") if device == "cpu" else "torch"
    if wish != "torch" and device != "cpu":
        raise ModelError(f"Runtime {wish!r} computes on the CPU only: add --device cpu, or use --runtime torch")
    if missing := _missing(wish):
        raise ModelError(f"Runtime {wish!r} needs {' and '.join(missing)}: pip install 'promptile[{wish}]'")
    return wish


def unknown(wish: str) -> ModelError:
    """The error about a runtime that there is not."""
    return ModelError(f"Runtime {wish!r} is unknown: use {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]}")


def load_graph(runtime: str, path: Path) -> LoadedGraph:
    """A network in an ONNX file, computed by ``onnx`` or ``openvino``.

    Raises
    ------
    ModelError
        If the runtime is not installed or cannot read the file.
    """
    load: Callable[[Path, int], LoadedGraph]
    try:
        if runtime == "openvino":
            from promptile.models.runtimes.open_vino import OpenVinoGraph as load
        else:
            from promptile.models.runtimes.onnx_runtime import OnnxGraph as load
    except ModuleNotFoundError as error:
        raise ModelError(f"Runtime {runtime!r} needs {error.name}: pip install 'promptile[{runtime}]'") from error
    try:
        return load(path, threads())
    except Exception as error:  # what ONNX Runtime raises has no base class
        line = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path} cannot be read by {runtime} ({line}): get or make the file again") from error


def threads() -> int:
    """How many threads a runtime takes: as many as numerical libraries are told to, or the cores of this process."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _missing(runtime: str) -> list[str]:
    return [package for package in _NEEDED[runtime] if find_spec(package) is None]
