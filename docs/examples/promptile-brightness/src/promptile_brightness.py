"""A model that needs no weights: what is about as bright as the click, and connected with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.protocols import Embedding, Masks, ModelCard, View, WindowPrompt

TOLERANCES = (0.05, 0.15, 0.3)
"""Differences in brightness that count as none: one answer each, from a part to all that is alike."""


class Brightness:
    """Answers points and boxes with connected samples of a similar brightness.

    Parameters
    ----------
    ndim : int
        2 for images, 3 for volumes.
    """

    def __init__(self, ndim: int) -> None:
        self.card = ModelCard(
            name="brightness",
            family="brightness",
            abilities=frozenset({"points", "box"}),
            ndim=ndim,
            licence="BSD-3-Clause",
            digest="brightness-1",  # another one for every change of the answers
        )

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        """The expensive part, once per window: here a smoothed grey image."""
        greys = [ndimage.gaussian_filter(np.where(v.valid, v.samples.mean(axis=0), np.nan), 1) for v in views]
        return [Embedding(grey, self.card.digest, grey.nbytes) for grey in greys]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        """One mask per tolerance, the best guess first."""
        grey: NDArray[np.float32] = embedding.content
        inside = _inside(prompt.box, grey.shape)
        places = _places(prompt, inside)
        difference = np.abs(grey - np.median(grey[tuple(places.T)]))
        logits, scores = [], []
        for tolerance in TOLERANCES:
            pieces, _ = ndimage.label((difference < tolerance) & inside)
            touched = np.unique(pieces[tuple(places.T)])
            mask = np.isin(pieces, touched[touched > 0])
            mask[tuple(_rounded(prompt.points[~prompt.labels], grey.shape).T)] = False
            logits.append(np.where(mask, np.float32(4), np.float32(-4)))
            scores.append(_steadiness(difference, tolerance, mask))
        order = np.argsort(scores)[::-1]
        return Masks(np.stack(logits)[order], np.array(scores)[order])


def load(ndim: int) -> Brightness:
    """What the entry point names: the model for images (2) or volumes (3)."""
    return Brightness(ndim)


def _inside(box: NDArray[np.float64] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where the object may be. A box lies on sample edges: one around samples 3 to 5 is 2.5 to 5.5."""
    inside = np.ones(shape, bool)
    if box is not None:
        inside[:] = False
        low, high = (np.clip(np.ceil(corner).astype(int), 0, shape) for corner in box)
        inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return inside


def _places(prompt: WindowPrompt, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Samples that are the object for certain: those clicked on, else the middle of the box."""
    points = prompt.points[prompt.labels]
    if not len(points):
        points = np.argwhere(inside).mean(axis=0, keepdims=True)
    return _rounded(points, inside.shape)


def _rounded(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """An integer index is a sample's centre."""
    return np.clip(np.rint(points).astype(int), 0, np.subtract(shape, 1))


def _steadiness(difference: NDArray[np.float32], tolerance: float, mask: NDArray[np.bool_]) -> float:
    """How little the mask would change with the tolerance: between 0 and 1, as an IoU is."""
    narrow = mask & (difference < 0.8 * tolerance)
    return float(narrow.sum() / max(mask.sum(), 1))
