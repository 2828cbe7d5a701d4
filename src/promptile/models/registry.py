"""Models by name: entry points of the group ``promptile.models``, ours and third parties' alike.

An entry point names a function ``load(ndim: int) -> Model``; `ndim` is 2 for images, 3 for volumes. It may take
``weights``, ``device`` and ``runtime`` by name.
"""

from __future__ import annotations

import difflib
import inspect
import os
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from promptile.errors import ModelError
from promptile.models.protocols import Model

GROUP = "promptile.models"
CARDS = (".yaml", ".yml", ".json")
"""Names that end so are files: cards of models that Promptile does not know."""

_preferred: dict[str, str | None] = {"device": "auto", "runtime": None}


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

    Raises
    ------
    ModelError
        If no such model is installed, or it cannot be loaded, or has no weights, devices or runtimes to
        choose from.
    """
    try:
        provider = _of_card(name) if name.endswith(CARDS) else _find(name).load()
    except ImportError as error:
        raise ModelError(
            f"Model {name!r} needs a package that is not installed ({error}): install its extra and try again"
        ) from error
    return cast("Model", provider(ndim, **_given(name, provider, weights, device, runtime)))


def prefer(device: str | None = None, runtime: str | None = None) -> None:
    """Say where, and with what, models of this process compute that can choose; None leaves it as it is."""
    said = {"device": device, "runtime": runtime}
    _preferred.update({key: value for key, value in said.items() if value is not None})


def _given(
    name: str, provider: Any, weights: str | os.PathLike[str] | None, device: str | None, runtime: str | None
) -> dict[str, Any]:
    """What was said beside the name, if the model takes it."""
    takes = inspect.signature(provider).parameters
    if weights is not None and "weights" not in takes:
        raise ModelError(f"Model {name!r} has no weights: leave --weights out")
    if "device" not in takes and device not in (None, "auto", "cpu"):
        raise ModelError(f"Model {name!r} computes on the CPU only: leave --device {device} out")
    if "runtime" not in takes and runtime not in (None, "auto"):
        raise ModelError(f"Model {name!r} has no choice of runtimes: leave --runtime {runtime} out")
    said = {
        "weights": weights,
        "device": device or _preferred["device"],
        "runtime": runtime or _preferred["runtime"],
    }
    return {key: value for key, value in said.items() if key in takes and value is not None}


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
