"""Models that want samples at a spacing of their own, on images that have another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from promptile.engine.lattice import SIZE
from promptile.engine.views import check_masks
from promptile.errors import ModelError
from promptile.grid import rescale
from promptile.models.protocols import Embedding, Masks, Model, ModelCard, Promptable, Storable, View, WindowPrompt

_SHORTEST = 8
"""Samples of the image: a window is no shorter, however thick its slices are."""
_LONGER = 4
"""And no longer than so many times what is usual, however fine its samples are."""
_CERTAIN = 1e4
"""Logits beyond this say no more; infinite ones could not be weighed."""
_SHAPE = "respaced_shape"
"""What is packed beside what the model itself packs."""

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, eq=False)
class _Content:
    """What is kept of a view."""

    inner: Embedding
    asked: tuple[int, ...]
    """The view's shape."""
    seen: tuple[int, ...]
    """The shape that the model was shown."""


class Respaced:
    """A model that answers on the image's samples, and is asked on samples at its own spacing.

    Both cover a window from edge to edge: what lies at a share of the window's length lies there for the model too.
    At coarser levels the model sees samples as many times coarser, so that a window always has its own size.

    Parameters
    ----------
    model : Promptable
        Its card has a `spacing`.
    spacing : tuple of float
        Between samples of level 0, along each axis of a view.
    """

    def __init__(self, model: Promptable, spacing: Sequence[float]) -> None:
        inner = model.card
        self.model = model
        self.spacing = tuple(spacing)
        self._wanted: tuple[float, ...] = inner.spacing or self.spacing
        self._own = inner.window or (SIZE[inner.ndim],) * inner.ndim
        ratios = np.divide(self._wanted, self.spacing)
        window = np.clip(np.rint(self._own * ratios), _SHORTEST, _LONGER * SIZE[inner.ndim]).astype(int)
        self.card: ModelCard = replace(
            inner,
            abilities=inner.abilities - {"propose", "memory"},  # everything is found by points
            window=tuple(window.tolist()),
            spacing=None,
            digest=f"{inner.digest} at {_listed(self._wanted)} on {_listed(self.spacing)}",
        )

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        """Look at windows, resampled."""
        shapes = [self._shape(view) for view in views]
        found = self.model.embed([_resampled(view, shape) for view, shape in zip(views, shapes, strict=True)])
        if len(found) != len(views):
            raise ModelError(f"Model {self.card.name!r} gave {len(found)} embeddings of {len(views)} windows")
        return [
            self._embedding(inner, view.shape, shape) for inner, view, shape in zip(found, views, shapes, strict=True)
        ]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        """All candidate masks for one object, on the image's samples."""
        content: _Content = embedding.content
        masks = self.model.predict(content.inner, _carried(prompt, content.asked, content.seen))
        check_masks(masks, self.card, content.seen)
        return Masks(_between(masks.logits, content.asked), masks.scores)

    def _embedding(self, inner: Embedding, asked: tuple[int, ...], seen: tuple[int, ...]) -> Embedding:
        return Embedding(_Content(inner, asked, seen), self.card.digest, inner.nbytes)

    def _shape(self, view: View) -> tuple[int, ...]:
        """How many samples the model is shown: its own size where a view is a whole window."""
        coarser = max(np.divide(view.spacing, self.spacing))
        lengths = np.multiply(view.shape, view.spacing) / np.multiply(self._wanted, coarser)
        whole = [
            n == window and abs(length - own) <= max(length / n, 1) / 2 + 1e-6
            for n, window, length, own in zip(view.shape, self.card.window, lengths, self._own, strict=True)
        ]
        return tuple(np.where(whole, self._own, np.maximum(np.rint(lengths), 1)).astype(int).tolist())


class StorableRespaced(Respaced):
    """The same for a model whose embeddings are kept on disk."""

    model: Storable

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]]:
        """What the model packs, and the shape that was asked for."""
        content: _Content = embedding.content
        return {**self.model.pack(content.inner), _SHAPE: np.array([content.asked, content.seen])}

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        """The embedding that was packed."""
        asked, seen = (tuple(shape) for shape in arrays[_SHAPE].tolist())
        inner = self.model.unpack({name: array for name, array in arrays.items() if name != _SHAPE})
        return self._embedding(inner, asked, seen)


def respaced(model: M, spacing: Sequence[float]) -> M | Respaced:
    """A model for samples of this spacing: the model itself unless its card asks for another.

    Raises
    ------
    ModelError
        If the card asks for one and does not say it for each axis, or the model answers no prompts.
    """
    wanted = model.card.spacing
    if wanted is None:
        return model
    if len(wanted) != len(spacing) or not all(np.isfinite(s) and s > 0 for s in wanted):
        raise ModelError(
            f"Model {model.card.name!r} has a card with the spacing {wanted}: it needs {len(spacing)} positive numbers"
        )
    if not isinstance(model, Promptable):
        raise ModelError(
            f"Model {model.card.name!r} asks for a spacing and answers no prompts: leave it out of its card"
        )
    return StorableRespaced(model, spacing) if isinstance(model, Storable) else Respaced(model, spacing)


def _resampled(view: View, shape: tuple[int, ...]) -> View:
    """A view on other samples: linear, and averaged where there are fewer; nearest for what has data."""
    if shape == view.shape:
        return view
    nearest: Any = np.ix_(*(((np.arange(m) + 0.5) * n / m).astype(int) for n, m in zip(view.shape, shape, strict=True)))
    valid = view.valid[nearest]
    samples = view.samples.astype(np.float32)
    if view.valid.all():
        linear = _between(samples, shape, average=True)
    else:  # only what has data counts
        known = _between(np.where(view.valid, samples, np.float32(0)), shape, average=True)
        share = _between(view.valid[None].astype(np.float32), shape, average=True)
        linear = np.where(valid, known / np.maximum(share, np.float32(1e-6)), samples[(slice(None), *nearest)])
    if np.issubdtype(view.samples.dtype, np.integer):
        linear = np.rint(linear)
    lengths = np.multiply(view.shape, view.spacing)
    return View(linear.astype(view.samples.dtype), valid, tuple((lengths / shape).tolist()))


def _carried(prompt: WindowPrompt, asked: tuple[int, ...], seen: tuple[int, ...]) -> WindowPrompt:
    """A prompt on the samples that the model was shown."""
    factors = [n / m for n, m in zip(asked, seen, strict=True)]
    last = np.subtract(seen, 1)
    return WindowPrompt(
        # A point at the very edge of a window still lies on its samples.
        points=np.clip(rescale(prompt.points, factors).reshape(-1, len(seen)), 0, last),
        labels=prompt.labels,
        box=None if prompt.box is None else rescale(prompt.box, factors),
        mask=None if prompt.mask is None else _between(prompt.mask[None], seen)[0],
    )


def _between(values: NDArray[Any], shape: tuple[int, ...], *, average: bool = False) -> NDArray[np.float32]:
    """``(c, *shape)``: linear between samples of the same window; beyond the outermost ones it stays as it is."""
    if values.shape[1:] == shape:
        return values
    found: NDArray[np.float32] = np.clip(values, -_CERTAIN, _CERTAIN) if not average else values
    for axis, m in enumerate(shape, start=1):
        if (n := found.shape[axis]) != m:
            weights = _weights(n, m, max(n / m, 1.0) if average else 1.0)
            found = np.moveaxis(np.tensordot(weights, found, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(found, np.float32)


@lru_cache(64)
def _weights(n: int, m: int, width: float) -> NDArray[np.float32]:
    """``(m, n)``: how much each of `n` samples counts for each of `m`, by a triangle that reaches so many samples."""
    places = (np.arange(m) + 0.5) * n / m - 0.5
    away = np.abs(np.arange(n) - np.clip(places, 0, n - 1)[:, None])
    weights = np.maximum(1 - away / width, 0)
    normal: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


def _listed(spacing: Sequence[float]) -> str:
    return "x".join(f"{s:.9g}" for s in spacing)
