"""Objects in the colours of their categories."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd
from napari.utils.colormaps import DirectLabelColormap

from promptile._napari.results import vivid

_CLEAR = np.zeros(4)


def colours_of(categories: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """A colour for each category, by their order in the alphabet, so that it stays when others look for the same."""
    colours = vivid().colors[1:]
    return {name: tuple(colours[n % len(colours)]) for n, name in enumerate(sorted(set(categories)))}


def colormap_of(objects: pd.DataFrame, shown: Collection[int] | None = None) -> DirectLabelColormap:
    """Each object in its category's colour.

    Parameters
    ----------
    objects : DataFrame
        With ``id`` and ``category``.
    shown : collection of int, optional
        The others are not seen; without it, all are.
    """
    colours = colours_of(objects["category"])
    wanted = objects if shown is None else objects[objects["id"].isin(list(shown))]
    looks: dict[int | None, Any] = {None: _CLEAR, 0: _CLEAR}
    looks |= {int(i): colours[name] for i, name in zip(wanted["id"], wanted["category"], strict=True)}
    return DirectLabelColormap(color_dict=looks)
