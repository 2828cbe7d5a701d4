"""A seeded watershed: the plainest promptable model there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.protocols import Embedding, Masks, ModelCard, View, WindowPrompt

_OBJECT, _BACKGROUND = 1, 2


class Watershed:
    """Floods the gradient magnitude from markers inside and outside the prompt."""

    def __init__(self, ndim: int) -> None:
        self.card = ModelCard(
            name="basin",
            family="basin",
            abilities=frozenset({"points", "box", "mask"}),
            ndim=ndim,
            licence="BSD-3-Clause",
            digest="watershed-1",
        )

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        return [Embedding(e := _edges(view), self.card.digest, e.nbytes) for view in views]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        edges: NDArray[np.uint16] = embedding.content
        markers = np.zeros(edges.shape, np.int8)
        if prompt.box is None and prompt.mask is None:
            border = np.ones(edges.shape, bool)
            border[(slice(1, -1),) * edges.ndim] = False
            markers[border] = _BACKGROUND
        if prompt.box is not None:
            _mark_box(markers, prompt.box)
        if prompt.mask is not None:
            markers[prompt.mask > 2] = _OBJECT
            markers[prompt.mask < -2] = _BACKGROUND
        for point, label in zip(np.rint(prompt.points).astype(int), prompt.labels, strict=True):
            inside = tuple(np.clip(point, 0, np.subtract(edges.shape, 1)))
            markers[inside] = _OBJECT if label else _BACKGROUND
        flooded = ndimage.watershed_ift(edges, markers)
        logits = np.where(flooded == _OBJECT, np.float32(4), np.float32(-4))
        return Masks(logits[None], np.array([0.5]))


def _edges(view: View) -> NDArray[np.uint16]:
    samples = np.clip(view.samples.astype(np.float32), 0, 1)
    magnitude = sum(ndimage.gaussian_gradient_magnitude(channel, 1.0) for channel in samples)
    top = max(float(np.max(magnitude)), 1e-6)
    scaled: NDArray[np.uint16] = (np.asarray(magnitude) / top * 65535).astype(np.uint16)
    return scaled


def _mark_box(markers: NDArray[np.int8], box: NDArray[np.float64]) -> None:
    low = np.clip(np.floor(box[0] + 0.5).astype(int), 0, markers.shape)
    high = np.clip(np.ceil(box[1] + 0.5).astype(int), 0, markers.shape)
    outside = np.ones(markers.shape, bool)
    outside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = False
    markers[outside] = _BACKGROUND
    centre = np.clip(np.rint(box.mean(axis=0)).astype(int), 0, np.subtract(markers.shape, 1))
    reach = np.maximum((high - low) // 6, 0)
    markers[tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(centre, reach, strict=True))] = _OBJECT
