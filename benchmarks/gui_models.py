"""What the window is tried with: a model that mostly sleeps, and images of many sizes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import SimpleITK as sitk
from rasterio.transform import from_origin

from promptile import models
from promptile.grid import Window
from promptile.models.protocols import Embedding, Masks, Proposal, View, WindowPrompt
from promptile.samples import sample

_SLEEP = 0.5
_STEP, _RADIUS = 64, 20


class Sleeping:
    """Answers marks as basin does; sleeps over everything, and then proposes discs on a lattice."""

    def __init__(self) -> None:
        self._inner: Any = models.load("basin", 2)
        self.card = replace(self._inner.card, name="sleeping", digest="sleeping")

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        return [replace(e, model="sleeping") for e in self._inner.embed(views)]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        return self._inner.predict(replace(embedding, model=self._inner.card.digest), prompt)

    def propose(self, view: View) -> list[Proposal]:
        time.sleep(_SLEEP)
        side = 2 * _RADIUS + 1
        disc = np.hypot(*np.mgrid[-_RADIUS : _RADIUS + 1, -_RADIUS : _RADIUS + 1]) <= _RADIUS
        starts = [range(0, n - side, _STEP) for n in view.shape]
        return [Proposal(Window((y, x), (side, side)), disc, 0.9) for y in starts[0] for x in starts[1]]


class Timed:
    """A model that counts the seconds of its answers.

    Parameters
    ----------
    model : Promptable
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        begun = time.perf_counter()
        found: Masks = self._model.predict(embedding, prompt)
        self.seconds += time.perf_counter() - begun
        return found


def mosaic(path: Path, repeats: int) -> Path:
    """The sample scene beside itself, as often as wanted along both axes, in a tiled GeoTIFF."""
    with rasterio.open(sample("scene.tif")) as scene:
        samples = np.tile(scene.read(), (1, repeats, repeats))
        profile = scene.profile | {"height": samples.shape[1], "width": samples.shape[2], "tiled": True}
    profile |= {"blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(samples)
        file.build_overviews([2, 4, 8, 16])
    return path


def small(folder: Path, number: int) -> Path:
    """A small image of noise and a disc: every third one a volume, the others GeoTIFFs."""
    random = np.random.default_rng(number)
    if number % 3 == 2:
        samples = random.integers(0, 60, (24, 96, 96)).astype(np.int16)
        samples[6:18, 30:60, 30:60] += 100
        image = sitk.GetImageFromArray(samples)
        image.SetSpacing((1.0, 1.0, 2.5))
        path = folder / f"small{number:03d}.nii.gz"
        sitk.WriteImage(image, str(path))
        return path
    samples = random.integers(60, 90, (512, 640), dtype=np.uint8)
    samples[np.hypot(*np.ogrid[-256:256, -320:320]) < 80] += 90
    path = folder / f"small{number:03d}.tif"
    profile = {"driver": "GTiff", "width": 640, "height": 512, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=from_origin(500000, 5800000, 0.5, 0.5)) as file:
        file.write(samples, 1)
    return path
