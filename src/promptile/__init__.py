"""Promptile segments images that are too big for a model.

::

    import promptile as pt

    image = pt.open("scene.tif")
    prompts = pt.Prompts.read("clicks.geojson", grid=image.grid)
    run = pt.segment(image, prompts, model="basin", out="scene.run.zarr")
    run.write("objects.gpkg")

Names are loaded when they are first used: importing promptile alone is fast and light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptile.engine.detect import Text
    from promptile.engine.everything import Everything
    from promptile.engine.lattice import Tiling
    from promptile.engine.ranking import Phrases
    from promptile.engine.slices import Slices
    from promptile.engine.tasks import Edges, Ranked
    from promptile.errors import PromptileError
    from promptile.grid import Grid, Window
    from promptile.prompts import Prompt, Prompts
    from promptile.prompts.area import Area
    from promptile.rendering import Rendering
    from promptile.run import Run
    from promptile.segmentation import segment
    from promptile.session import Review, Session, replay
    from promptile.session.classifying import classify
    from promptile.sources import open_source as open
    from promptile.tasks import edges, proposals
    from promptile.vectors import Shaping

_HOMES = {
    "Area": "promptile.prompts.area",
    "Edges": "promptile.engine.tasks",
    "Everything": "promptile.engine.everything",
    "Grid": "promptile.grid",
    "Phrases": "promptile.engine.ranking",
    "Prompt": "promptile.prompts",
    "PromptileError": "promptile.errors",
    "Prompts": "promptile.prompts",
    "Ranked": "promptile.engine.tasks",
    "Rendering": "promptile.rendering",
    "Review": "promptile.session",
    "Run": "promptile.run",
    "Session": "promptile.session",
    "Shaping": "promptile.vectors",
    "Slices": "promptile.engine.slices",
    "Text": "promptile.engine.detect",
    "Tiling": "promptile.engine.lattice",
    "Window": "promptile.grid",
    "classify": "promptile.session.classifying",
    "edges": "promptile.tasks",
    "open": "promptile.sources",
    "proposals": "promptile.tasks",
    "replay": "promptile.session",
    "segment": "promptile.segmentation",
}

__all__ = [
    "Area",
    "Edges",
    "Everything",
    "Grid",
    "Phrases",
    "Prompt",
    "PromptileError",
    "Prompts",
    "Ranked",
    "Rendering",
    "Review",
    "Run",
    "Session",
    "Shaping",
    "Slices",
    "Text",
    "Tiling",
    "Window",
    "__version__",
    "classify",
    "edges",
    "open",
    "proposals",
    "replay",
    "segment",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'promptile' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), "open_source" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
