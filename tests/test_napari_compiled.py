"""What napari compiles is compiled before it is needed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.components import ViewerModel
from napari.utils.colormaps import _accelerated_cmap

from promptile._napari.compiled import compile_ahead
from promptile._napari.redraw import redraw
from promptile.grid import Window


@pytest.mark.parametrize("shape", [(20, 30), (10, 20, 30)])
def test_labels_need_nothing_more(shape):
    colours = _accelerated_cmap._zero_preserving_modulo_inner_loop
    compile_ahead(len(shape))
    before = set(colours.signatures)
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros(shape, np.uint32))
    redraw(layer, Window.of(shape).grow(-2))
    for order in [(1, 0, 2), (2, 0, 1), (2, 1, 0), (0, 1, 2)] if len(shape) == 3 else []:
        viewer.dims.order = order
    viewer.dims.ndisplay = len(shape)
    assert before
    assert set(colours.signatures) - before == set()


def test_another_napari_compiles_by_itself(monkeypatch):
    monkeypatch.delattr(_accelerated_cmap, "_zero_preserving_modulo_inner_loop")
    compile_ahead(3)
