"""Parts of a run's folder that its kinds share: JSON files, label images, and what is said when one is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import zarr
from zarr.codecs import ZstdCodec

from promptile.errors import RunError
from promptile.folders import Folder
from promptile.grid import Grid
from promptile.run.journal import ROOM

LABEL_SIDE = {2: 1024, 3: 128}
"""Side of the stored pieces of label images, by their number of axes."""

LAYERS = "layers"
"""Room of the label images below the first one, which is `labels`."""

PROMPTS, IMAGE, DRAFT = "prompts.json", "image.json", "draft.json"
DETECTIONS = "detections"
"""Room of what a detector said; it is made from nothing that is in the others."""

ASIDE = (IMAGE, DRAFT)
"""Files without which all objects are there."""


def layer_name(layer: int) -> str:
    """Name of a label image in a run's folder."""
    return "labels" if layer == 0 else f"{LAYERS}/{layer}"


def create_labels(folder: Folder, name: str, shape: Sequence[int]) -> zarr.Array[Any]:
    """A label image without objects."""
    side = LABEL_SIDE[len(shape)]
    return zarr.create_array(
        folder.zarr(name),
        shape=tuple(shape),
        chunks=tuple(min(side, n) for n in shape),
        dtype="uint32",
        fill_value=0,
        compressors=ZstdCodec(level=1),
        dimension_names=("z", "y", "x")[-len(shape) :],
        overwrite=True,
    )


def read_json(folder: Folder, name: str) -> Any:
    """What a JSON file of a run holds.

    Raises
    ------
    RunError
        If it is missing or damaged.
    """
    try:
        return json.loads(folder.read(name))
    except (OSError, ValueError) as error:
        raise damaged(folder, name) from error


def damaged(folder: Folder, name: str) -> RunError:
    """What to raise if a part of a run cannot be read.

    Where something was done by hand, computing the run again would throw it away: a session makes anew what it can.
    """
    if name in ASIDE:
        cure = "move it elsewhere to go on without it"
    elif not folder.names(ROOM):
        cure = "compute the run again with --restart"
    elif name == PROMPTS:
        cure = "put it back from a copy, or write [] into it to go on without prompts"
    else:
        cure = "move it elsewhere, and open the run in a session"
    return RunError(f"{folder.place}/{name} is missing or damaged: {cure}")


def grid_from(stored: Mapping[str, Any]) -> Grid:
    """The grid that a run's spec holds."""
    return Grid.of(stored["shape"], stored["affine"], stored["space"])
