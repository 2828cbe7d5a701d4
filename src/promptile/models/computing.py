"""How networks compute: on which device, with how many digits, and how much at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptile.errors import ModelError

T = TypeVar("T")
R = TypeVar("R")

_KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """With how many digits networks look at images; all else is computed with single precision.

    Parameters
    ----------
    wish : str
        ``auto``: on an NVIDIA GPU bf16, or fp16 if it has no bf16; elsewhere fp32. Or one of ``fp32``, ``bf16`` and
        ``fp16``.
    device : torch.device

    Raises
    ------
    ModelError
        If it is unknown, or the device does not have it.
    """

    def __init__(self, wish: str, device: torch.device) -> None:
        if wish not in ("auto", *_KINDS):
            raise ModelError(f"Precision {wish!r} is unknown: use auto, {', '.join(_KINDS)}")
        self.name = _best(device) if wish == "auto" else wish
        if self.name not in _possible(device):
            raise ModelError(f"Precision {wish!r} is nothing that device {str(device)!r} computes fast: use fp32")
        self._device = device

    def __call__(self) -> Any:
        """A context in which networks compute so."""
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, _KINDS[self.name])

    @property
    def mark(self) -> str:
        """For digests: nothing for fp32."""
        return "" if self.name == "fp32" else f" {self.name}"


def _best(device: torch.device) -> str:
    if device.type != "cuda":
        return "fp32"  # on an Apple GPU too: half precision is said to overflow there
    return "bf16" if "bf16" in _possible(device) else "fp16"


def _possible(device: torch.device) -> list[str]:
    if device.type == "cuda":
        return ["fp32", "fp16", *["bf16"] * torch.cuda.is_bf16_supported(including_emulation=False)]
    if device.type == "mps":
        return ["fp32", "fp16"]
    return ["fp32", *["bf16"] * _fast_bf16()]


def _fast_bf16() -> bool:
    """Whether the CPU multiplies in bf16; one that does not is slower with it than without."""
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test() for test in tests if test is not None)


def as_tensor(values: NDArray[np.float32], device: torch.device) -> Tensor:
    """An array on a device."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


class Batches:
    """How many things are computed together: fewer for good once memory has run out.

    Parameters
    ----------
    model : str
        Its name, for the error.
    device : torch.device
    size : int
        How many at first.
    """

    def __init__(self, model: str, device: torch.device, size: int) -> None:
        self.size = size
        self._model = model
        self._device = device

    def each(self, things: Sequence[T], compute: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
        """What `compute` makes of all things, as many at a time as memory allows.

        Raises
        ------
        ModelError
            If there is no memory for one alone.
        """
        made: list[R] = []
        while len(made) < len(things):
            some = things[len(made) : len(made) + self.size]
            try:
                made += compute(some)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            else:
                continue
            # Outside of the handler: the error holds what was computed so far.
            self._halve(len(some), reason)
        return made

    def _halve(self, count: int, reason: str) -> None:
        if count == 1:
            raise ModelError(
                f"Model {self._model!r} needs more memory than there is on device {str(self._device)!r} ({reason}): "
                "close other programs, take a smaller model, or use --device cpu"
            )
        self.size = min(self.size, max(1, count // 2))
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; but for Python's own error it is told by words."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
