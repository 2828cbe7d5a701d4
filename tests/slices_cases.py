"""Truths and a perfect model for images, to follow objects through volumes with."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from perfect import Perfect
from promptile.engine.job import Job
from promptile.engine.lattice import Tiling
from promptile.engine.objects import Grown
from promptile.engine.slices import SliceGrower, Slices
from promptile.grid import LPS, Grid
from promptile.models.protocols import Embedding, Masks, WindowPrompt
from promptile.prompts import Prompts
from promptile.rendering import Rendering
from promptile.sources.arrays import ArraySource

NEAR = np.ones((3, 3), bool)


class PerfectSlices(Perfect):
    """A perfect model for images that counts what it is asked.

    A mask says which object is meant: the one that most of it, or what is beside it, lies on.
    """

    def __init__(self, *, pieces: bool = False) -> None:
        super().__init__(2, pieces=pieces)
        self.asked = 0

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        self.asked += 1
        if prompt.mask is None or not (prompt.mask > 0).any():
            return super().predict(embedding, prompt)
        truth = embedding.content
        near = ndimage.binary_dilation(prompt.mask > 0, NEAR)
        for point, label in zip(np.rint(prompt.points).astype(int), prompt.labels, strict=True):
            near[tuple(point)] |= label
        here = truth[near & (truth > 0)]
        mask = truth == np.bincount(here).argmax() if len(here) else np.zeros(truth.shape, bool)
        if self.pieces:
            numbers, _ = ndimage.label(mask, NEAR)
            mask = np.isin(numbers, np.setdiff1d(numbers[near & mask], [0]))
        return Masks(np.where(mask, np.float32(6), np.float32(-6))[None], np.array([1.0]))


def volume(
    truth: np.ndarray, spacing: tuple[float, ...] = (3.0, 1.0, 1.0), turn: np.ndarray | None = None
) -> ArraySource:
    """A truth as an image in millimetres, turned in space."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ np.diag(spacing[::-1])[:, ::-1]
    affine[:3, 3] = (-31.0, 12.5, 7.0)
    return ArraySource(truth, Grid.of(truth.shape, affine, LPS), resampling="nearest")


def grower(source: ArraySource, model: Perfect, tile: int | None = None, slices: Slices | None = None) -> SliceGrower:
    size, overlap = Tiling(tile, None).resolve(2)
    job = Job(source, model, Rendering((0,), (0.0,), (1.0,)), size, overlap, (slices or Slices()).of(source.grid))
    made = job.grower()
    assert isinstance(made, SliceGrower)
    return made


def grow(source: ArraySource, prompts: Prompts, model: Perfect, tile: int | None = None, **said: object) -> list[Grown]:
    made = grower(source, model, tile, Slices(**said))  # type: ignore[arg-type]
    return [made.grow(prompt) for prompt in prompts]


def samples_of(grown: Grown) -> np.ndarray:
    whole = np.zeros(grown.mask.shape, bool)
    whole[grown.mask.window.slices] = grown.mask.read(grown.mask.window)
    return whole


def assert_is(grown: Grown, truth: np.ndarray) -> None:
    found = samples_of(grown)
    assert (found == truth).all(), (
        f"{np.count_nonzero(found & ~truth)} too many, {np.count_nonzero(truth & ~found)} missing"
    )
    assert grown.mask.count == np.count_nonzero(truth)
    assert not grown.open_edge
