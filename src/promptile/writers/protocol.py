"""What a writer gets: a result behind one protocol, whatever keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promptile.grid import Grid, Window
from promptile.masks import ObjectMask


class Result(Protocol):
    """A finished segmentation: objects with attributes, their masks, and one label image."""

    @property
    def grid(self) -> Grid:
        """The image's own grid; labels lie on it."""
        ...

    @property
    def objects(self) -> pd.DataFrame:
        """One row per object, sorted by ``id``.

        Columns: id, category, score, prompt, area_m2 | volume_mm3 | area_px | ..., bbox (index coordinates, start
        and stop), tiles, touches_edge, open_edge.
        """
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """Where it comes from: name of the image, model, Promptile's version; JSON-able."""
        ...

    def mask(self, object_id: int) -> ObjectMask:
        """The object's own mask, also where another one covers it in the label image."""
        ...

    @property
    def layers(self) -> int:
        """How many label images hold everything; 0 if objects may overlap freely and only `mask` has them whole."""
        ...

    def read_labels(self, window: Window, layer: int = 0) -> NDArray[np.uint32]:
        """``window.shape``: ids, 0 is background; where objects overlap, the better score.

        Layer 0 holds wholes, layer 1 their parts, and so on.
        """
        ...
