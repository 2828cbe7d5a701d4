"""What a 3D answer has to beat: seeded watershed, random walker, ellipsoid, ConfidenceConnected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from skimage import segmentation

from promptile.models.protocols import View, WindowPrompt

MARGIN = 0.25  # of the box's size: what is seen around it
INNER = 1 / 3  # of the box's size: the marker inside
BALL = 2  # samples: radius of a click's marker
CLICK_REACH_MM = 60.0  # half the side of the cube that stands for a box where there is only a click
WALKER_SAMPLES = 60_000  # the random walker's grid is coarsened to this many
WALKER_BETA = 20_000  # the best of 130 to 20,000 on the tuning half
Answerer = Callable[[View], Callable[[WindowPrompt], NDArray[np.float32]]]


def ellipsoid(view: View) -> Callable[[WindowPrompt], NDArray[np.float32]]:
    return lambda prompt: _logits(_ellipsoid(view.shape, _solid_box(view, prompt), 1.0))


def watershed(view: View) -> Callable[[WindowPrompt], NDArray[np.float32]]:
    def answer(prompt: WindowPrompt) -> NDArray[np.float32]:
        near, markers = _markers(view, prompt)
        edges = ndimage.gaussian_gradient_magnitude(_clipped(view)[near], 1.0)
        return _put(view.shape, near, segmentation.watershed(edges, markers[near]) == 1)

    return answer


def random_walker(view: View) -> Callable[[WindowPrompt], NDArray[np.float32]]:
    def answer(prompt: WindowPrompt) -> NDArray[np.float32]:
        near, markers = _markers(view, prompt)
        samples, seeds = _clipped(view)[near], markers[near]
        step = max(1, int(np.ceil((samples.size / WALKER_SAMPLES) ** (1 / 3))))
        coarse = tuple(slice(None, None, step if n > 3 * step else 1) for n in samples.shape)
        smooth = ndimage.gaussian_filter(samples, step / 2 if step > 1 else 0)[coarse]
        small = seeds[coarse].copy()
        for label in (1, 2):  # a marker that falls between the coarse samples
            for at in np.argwhere(seeds == label) if not (small == label).any() else ():
                small[tuple(np.minimum(at // step, np.subtract(small.shape, 1)))] = label
        if not (small == 2).any():
            return _put(view.shape, near, np.ones(seeds.shape, bool))
        spacing = np.divide(view.spacing, min(view.spacing))
        found = segmentation.random_walker(
            smooth, small, beta=WALKER_BETA, mode="cg_j", tol=1e-3, prob_tol=1, spacing=spacing
        )
        inside = (found == 1).astype(np.float32)
        zoomed = ndimage.zoom(inside, np.divide(seeds.shape, inside.shape), order=1, grid_mode=True, mode="nearest")
        return _put(view.shape, near, zoomed > 0.5)

    return answer


def confidence_connected(view: View) -> Callable[[WindowPrompt], NDArray[np.float32]]:
    def answer(prompt: WindowPrompt) -> NDArray[np.float32]:
        image = sitk.GetImageFromArray(view.samples[0])
        seeds = [tuple(int(v) for v in np.rint(p)[::-1]) for p in prompt.points[prompt.labels]]
        found = sitk.ConfidenceConnected(
            image, seeds, numberOfIterations=2, multiplier=2.5, initialNeighborhoodRadius=2
        )
        return _logits(sitk.GetArrayFromImage(found) > 0)

    return answer


BASELINES: dict[str, Answerer] = {
    "seeded watershed": watershed,
    "random walker": random_walker,
    "ellipsoid": ellipsoid,
    "ConfidenceConnected": confidence_connected,
}


def _solid_box(view: View, prompt: WindowPrompt) -> NDArray[np.float64]:
    """The box; a flat one gets the mean of its sides in millimetres as its height, a click a cube."""
    spacing = np.asarray(view.spacing)
    if prompt.box is None:
        reach = CLICK_REACH_MM / 2 / spacing
        return np.stack([prompt.points[0] - reach, prompt.points[0] + reach])
    box = prompt.box.copy()
    sides = (box[1] - box[0]) * spacing
    if box[1, 0] - box[0, 0] <= 1 < min(box[1, 1:] - box[0, 1:]):
        height = sides[1:].mean() / spacing[0]
        box[:, 0] = box[:, 0].mean() + np.array([-height / 2, height / 2])
    return box


def _markers(view: View, prompt: WindowPrompt) -> tuple[tuple[slice, ...], NDArray[np.int32]]:
    """What is seen around the box, and the markers: 1 inside, 2 outside."""
    box = _solid_box(view, prompt)
    markers = np.full(view.shape, 2, np.int32)
    markers[_slices(box, view.shape)] = 0
    inner = INNER if prompt.box is not None else 0.1
    markers[_ellipsoid(view.shape, box, inner)] = 1
    for point, label in zip(prompt.points, prompt.labels, strict=True):
        markers[_ellipsoid(view.shape, np.stack([point - BALL, point + BALL]), 1.0)] = 1 if label else 2
    margin = np.ceil((box[1] - box[0]) * MARGIN) + 3
    return _slices(box + np.stack([-margin, margin]), view.shape), markers


def _slices(box: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[slice, ...]:
    edges = np.clip(np.rint(box + 0.5).astype(int), 0, shape)
    return tuple(slice(min(a, n - 1), max(b, a + 1)) for a, b, n in zip(*edges, shape, strict=True))


def _ellipsoid(shape: tuple[int, ...], box: NDArray[np.float64], size: float) -> NDArray[np.bool_]:
    middle, half = box.mean(axis=0), np.maximum((box[1] - box[0]) / 2 * size, 0.6)
    axes = [((i - m) / h) ** 2 for i, m, h in zip(np.ogrid[tuple(map(slice, shape))], middle, half, strict=True)]
    return axes[0] + axes[1] + axes[2] <= 1


def _clipped(view: View) -> NDArray[np.float32]:
    return np.clip(view.samples[0], 0, 1)


def _put(shape: tuple[int, ...], near: tuple[slice, ...], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    answer = np.zeros(shape, bool)
    answer[near] = found
    return _logits(answer)


def _logits(found: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(found, np.float32(4), np.float32(-4))
