"""Steps in TorchScript files. Needs torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from promptile.errors import ModelError
from promptile.models.devices import device_of
from promptile.models.generic.card import Card, Step

_INTEGER = ("size",)


class ScriptedStep:
    """A method of a TorchScript file."""

    def __init__(self, step: Step, module: Any, device: torch.device, card: Card) -> None:
        if not hasattr(module, step.method):
            raise ModelError(f"{card.path}: {step.file.name} has no method {step.method!r}: say which with method")
        self._step = step
        self._method = getattr(module, step.method)
        self._device = device
        self._card = card

    def shape(self, what: str) -> list[int | None] | None:
        return None

    @torch.inference_mode()
    def __call__(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        arguments = [self._tensor(given, what) if isinstance(what, str) else what for _, what in self._step.inputs]
        try:
            answers = self._method(*arguments)
        except RuntimeError as error:
            line = str(error).strip().splitlines()[-1]
            raise ModelError(f"{self._card.path}: {self._step.method} fails with these inputs ({line})") from error
        several = answers if isinstance(answers, tuple | list) else (answers,)
        if len(several) < len(self._step.outputs):
            raise ModelError(
                f"{self._card.path}: {self._step.method} gives {len(several)} tensors: name as many outputs"
            )
        return {what: one.cpu().numpy() for one, (_, what) in zip(several, self._step.outputs, strict=False)}

    def _tensor(self, given: Mapping[str, NDArray[Any]], what: str) -> torch.Tensor:
        # TorchScript says no types: all but sizes are numbers with fractions, as the authors of EfficientSAM have it.
        array = np.ascontiguousarray(given[what], np.int64 if what in _INTEGER else np.float32)
        return torch.from_numpy(array).to(self._device)


def load_steps(card: Card, device: str) -> tuple[ScriptedStep, ScriptedStep]:
    """Encoder and decoder of a card, on a device.

    Raises
    ------
    ModelError
        If a file is no TorchScript or has no such method, or the device is not there.
    """
    place = device_of(device)
    modules = {file: _load(file, place) for file in dict.fromkeys((card.encoder.file, card.decoder.file))}
    encoder, decoder = (ScriptedStep(step, modules[step.file], place, card) for step in (card.encoder, card.decoder))
    return encoder, decoder


def _load(file: Any, place: torch.device) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch will give TorchScript up one day
            return torch.jit.load(file, map_location=place).eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ModelError(f"{file} is no TorchScript: torch.jit.load fails") from error
