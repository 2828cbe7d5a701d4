"""What an embedding on disk is found by: all that decides it, and nothing that does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from promptile import __version__
from promptile.grid import Window
from promptile.rendering import Rendering
from promptile.sources.identity import WHOLE
from promptile.sources.protocol import Source
from promptile.sources.signs import is_zarr

_BESIDE = (".ovr", ".msk", ".aux.xml")
"""Files that GDAL reads along with another one."""


def identify(source: Source) -> dict[str, Any]:
    """What tells an image from all others; empty if that is not known well enough to keep anything of it.

    A file may be renamed and moved. Of a large one only a sample of the blocks counts, so that the times of its last
    changes count as well; an array in memory has none, and is known only if all of it counts.
    """
    known = {name: value for name, value in source.identity.items() if name != "name"}
    if not known.get("digest"):
        return {}
    if known.get("bytes", WHOLE + 1) <= WHOLE:
        return known
    place = Path(getattr(source, "place", {}).get("image", ""))
    return known | {"changed": _changes(place)} if place.name and place.exists() else {}


def shelf_name(source: Source, rendering: Rendering, model: str, level: int) -> str:
    """The shelf for windows of a level of an image, seen by the model of that digest."""
    said = {
        "promptile": __version__,  # how samples are read and rendered
        "image": identify(source),
        "shape": source.grid.shape,
        "spacing": source.grid.spacing,
        "nodata": str(source.nodata),
        "factors": source.levels[level],
        "rendering": rendering.to_json(),
        "model": model,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def window_name(window: Window) -> str:
    """``0-512+1024-1024``: start and shape."""
    return "+".join("-".join(map(str, axes)) for axes in (window.start, window.shape))


def _changes(place: Path) -> str:
    """A digest of when the files of an image were last changed."""
    if not place.is_dir():
        files = [place, *(place.with_name(place.name + suffix) for suffix in _BESIDE)]
    elif is_zarr(place):
        files = sorted(place.rglob("*"))
    else:  # slices; what lies further below belongs to others
        files = sorted(p for p in place.iterdir() if p.is_file())
    times = [path.stat().st_mtime_ns for path in files if path.exists()]
    return hashlib.sha256(json.dumps(times).encode()).hexdigest()
