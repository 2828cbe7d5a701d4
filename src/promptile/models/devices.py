"""Where networks run: a CPU, an NVIDIA GPU or an Apple one."""

from __future__ import annotations

import torch

from promptile.errors import ModelError


def device_of(wish: str = "auto") -> torch.device:
    """The device that is meant: ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises
    ------
    ModelError
        If there is no such device here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wish == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    kind, _, number = wish.partition(":")
    if kind not in there or not (number.isdecimal() or not number):
        raise ModelError(f"Device {wish!r} is unknown: use auto, cpu, cuda, cuda:1 or mps")
    if not there[kind]:
        raise ModelError(f"Device {wish!r} is not here, or torch {torch.__version__} cannot use it: use auto or cpu")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise ModelError(f"Device {wish!r} is not here: there are {torch.cuda.device_count()}, the first is cuda:0")
    return torch.device(wish)
