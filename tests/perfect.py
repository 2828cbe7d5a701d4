"""Perfect models: the image is the truth, and they answer with it inside each window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from promptile.models.protocols import Embedding, Masks, ModelCard, View, WindowPrompt


class Perfect:
    """Answers with the samples whose value is the one under the prompt.

    Parameters
    ----------
    ndim : int
    pieces : bool
        Answer only with what is connected to the prompt inside the window, as a real model does.
    """

    def __init__(self, ndim: int, *, pieces: bool = False) -> None:
        self.pieces = pieces
        self.embedded = 0
        self.card = ModelCard(
            name="perfect",
            family="test",
            abilities=frozenset({"points", "box", "mask"}),
            ndim=ndim,
            input="raw",
            digest=f"perfect-{pieces}",
        )

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        self.embedded += len(views)
        return [Embedding(view.samples[0], self.card.digest, view.samples.nbytes) for view in views]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        truth = embedding.content
        markers = self.markers(truth, prompt)
        values = truth[markers]
        values = values[values > 0]
        mask = np.isin(truth, values)
        if prompt.box is not None and len(values):
            mask = truth == np.bincount(values).argmax()
        if self.pieces:
            pieces, _ = ndimage.label(mask, np.ones((3,) * truth.ndim))
            seen = np.unique(pieces[markers & mask])
            mask = np.isin(pieces, seen[seen > 0])
        return Masks(np.where(mask, np.float32(6), np.float32(-6))[None], np.array([1.0]))

    def markers(self, truth: np.ndarray, prompt: WindowPrompt) -> np.ndarray:
        markers = np.zeros(truth.shape, bool)
        for point, label in zip(np.rint(prompt.points).astype(int), prompt.labels, strict=True):
            if label:
                markers[tuple(point)] = True
        if markers.any() or prompt.box is None:
            return markers
        low = np.clip(np.ceil(prompt.box[0]).astype(int), 0, truth.shape)
        high = np.clip(np.ceil(prompt.box[1]).astype(int), 0, truth.shape)
        markers[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
        return markers
