"""The steps of a card, computed by ONNX Runtime, OpenVINO or, if they are TorchScript, torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from promptile.errors import ModelError
from promptile.models.generic.card import Card, Step
from promptile.models.runtimes.choosing import RUNTIMES, default, load_graph, unknown
from promptile.models.runtimes.protocol import LoadedGraph

Arrays = Mapping[str, NDArray[Any]]
_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


class Computed(Protocol):
    """A step that can be computed."""

    def shape(self, what: str) -> list[int | None] | None:
        """Of the tensor that is given `what`, where a length is known; None if nothing is."""
        ...

    def __call__(self, given: Arrays) -> dict[str, NDArray[Any]]:
        """All that the card names, for all that it says the step takes."""
        ...


class OnnxStep:
    """A step in an ONNX file."""

    def __init__(self, step: Step, graph: LoadedGraph, card: Card) -> None:
        for key, pairs, known in (
            ("inputs", step.inputs, list(graph.inputs)),
            ("outputs", step.outputs, graph.outputs),
        ):
            for name, _ in pairs:
                if name not in known:
                    there = ", ".join(known)
                    raise ModelError(f"{card.path}: {key} names {name!r}, and {step.file.name} has {there}")
        if missing := [name for name in graph.inputs if name not in dict(step.inputs)]:
            raise ModelError(f"{card.path}: {step.file.name} takes {missing[0]!r} too: say in inputs what that is")
        self._step = step
        self._graph = graph

    def shape(self, what: str) -> list[int | None] | None:
        ports = self._graph.inputs
        return next((ports[name].shape for name, given in self._step.inputs if given == what), None)

    def __call__(self, given: Arrays) -> dict[str, NDArray[Any]]:
        ports = self._graph.inputs
        arrays = {}
        for name, what in self._step.inputs:
            value = given[what] if isinstance(what, str) else np.full([n or 1 for n in ports[name].shape or []], what)
            arrays[name] = np.ascontiguousarray(value, ports[name].dtype)
        answers = self._graph.run(arrays)
        return {what: answers[name] for name, what in self._step.outputs}


def computed(card: Card, device: str, runtime: str | None) -> tuple[Computed, Computed, str]:
    """Encoder and decoder of a card, and what computes them.

    Raises
    ------
    ModelError
        If the runtime or a file's tensors are not there.
    """
    if card.encoder.scripted != card.decoder.scripted:
        raise ModelError(f"{card.path}: one of encoder and decoder is ONNX, the other TorchScript: give two of a kind")
    if card.encoder.scripted:
        return *_scripted(card, device, runtime), "torch"
    chosen = _chosen(card, device, runtime)
    files = dict.fromkeys((card.encoder.file, card.decoder.file))
    graphs = {file: load_graph(chosen, file) for file in files}
    encoder, decoder = (OnnxStep(step, graphs[step.file], card) for step in (card.encoder, card.decoder))
    return encoder, decoder, chosen


def _chosen(card: Card, device: str, runtime: str | None) -> str:
    """What computes an ONNX file; ONNX Runtime if it does not matter, as most were tried with it."""
    if device not in ("auto", "cpu"):
        raise ModelError(f"{card.path} computes on the CPU only: leave --device {device} out")
    if runtime == "torch":
        raise ModelError(f"{card.path} is ONNX, which torch does not compute: leave --runtime torch out")
    wish = runtime or default()
    if wish not in RUNTIMES:
        raise unknown(wish)
    # The environment may say torch, for models that have the choice.
    kinds = {wish: _PACKAGES[wish]} if wish in _PACKAGES else _PACKAGES
    for kind, package in kinds.items():
        if find_spec(package) is not None:
            return kind
    raise ModelError(f"{card.path} needs {' or '.join(kinds.values())}: pip install 'promptile[{next(iter(kinds))}]'")


def _scripted(card: Card, device: str, runtime: str | None) -> tuple[Computed, Computed]:
    if runtime not in (None, "auto", "torch"):
        raise ModelError(f"{card.path} is TorchScript, which torch computes: leave --runtime {runtime} out")
    try:
        from promptile.models.generic.scripted import load_steps
    except ModuleNotFoundError as error:
        raise ModelError(f"{card.path} needs {error.name}: pip install 'promptile[torch]'") from error
    load: Callable[[Card, str], tuple[Computed, Computed]] = load_steps
    return load(card, device)
