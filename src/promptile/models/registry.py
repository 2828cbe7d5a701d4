"""Models by name: entry points of the group ``promptile.models``, ours and third parties' alike.

An entry point names a function ``load(ndim: int) -> Model``; `ndim` is 2 for images, 3 for volumes. It may take
``weights``, ``device``, ``runtime`` and ``precision`` by name.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from promptile.errors import ModelError
from promptile.models.protocols import Model

GROUP = "promptile.models"
CARDS = (".yaml", ".yml", ".json")
"""Names that end so are files: cards of models that Promptile does not know."""

_preferred: dict[str, str | None] = {"device": "auto", "runtime": None, "precision": None}
_PLAIN = {"device": ("auto", "cpu"), "runtime": ("auto",), "precision": ("auto", "fp32")}
"""What may be said to a model that has no choice: what it does anyway."""
_CURES = {
    "weights": "has no weights: leave --weights out",
    "device": "computes on the CPU only: leave --device {} out",
    "runtime": "has no choice of runtimes: leave --runtime {} out",
    "precision": "computes with all digits: leave --precision {} out",
}


def names() -> list[str]:
    """The names of all models that are installed."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load(
    name: str,
    ndim: int,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str | None = None,
    runtime: str | None = None,
    precision: str | None = None,
) -> Model:
    """The model of that name, ready for images (`ndim` 2) or volumes (3).

    Parameters
    ----------
    name : str
        Of a model that is installed, or the path of a card.
    ndim : int
    weights : path, optional
        The weights file; without it, it is looked for.
    device : str, optional
        Where it computes: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``; without it, as `prefer` has said.
    runtime : str, optional
        What computes: ``auto``, ``torch``, ``onnx``, ``openvino``; without it, as `prefer` has said.
    precision : str, optional
        With how many digits: ``auto``, ``fp32``, ``bf16``, ``fp16``; without it, as `prefer` has said.

    Raises
    ------
    ModelError
        If no such model is installed, or it cannot be loaded, or has no such choice.
    """
    try:
        provider = _of_card(name) if name.endswith(CARDS) else _find(name).load()
    except ImportError as error:
        raise ModelError(
            f"Model {name!r} needs a package that is not installed ({error}): install its extra and try again"
        ) from error
    said = {"weights": weights, "device": device, "runtime": runtime, "precision": precision}
    return cast("Model", provider(ndim, **_given(name, provider, said)))


def choices(name: str) -> frozenset[str]:
    """What can be said of how a model computes: ``device``, ``runtime``, ``precision``; nothing of an unknown one."""
    point = next((point for point in entry_points(group=GROUP) if point.name == name), None)
    try:
        takes = inspect.signature(point.load()).parameters if point is not None else ()
    except ImportError:  # of an extra that is not installed: said when it is loaded
        return frozenset()
    return frozenset(_PLAIN) & frozenset(takes)


def prefer(device: str | None = None, runtime: str | None = None, precision: str | None = None) -> None:
    """Say where, and with what, models of this process compute that can choose; None leaves it as it is."""
    said = {"device": device, "runtime": runtime, "precision": precision}
    _preferred.update({key: value for key, value in said.items() if value is not None})


def _given(name: str, provider: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said beside the name, if the model takes it."""
    takes = inspect.signature(provider).parameters
    for key, value in said.items():
        if key not in takes and value is not None and value not in _PLAIN.get(key, ()):
            raise ModelError(f"Model {name!r} {_CURES[key].format(value)}")
    meant = {key: _preferred.get(key) if value is None else value for key, value in said.items()}
    return {key: value for key, value in meant.items() if key in takes and value is not None}


def _of_card(path: str) -> Any:
    """What loads a card; found by name, as no model is part of the core."""
    return partial(import_module("promptile.models.generic").load, path)


def _find(name: str) -> EntryPoint:
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if found:
        return found[0]
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ModelError(f"No model is called {name!r}; {hint}installed: {', '.join(names()) or 'none'}")
