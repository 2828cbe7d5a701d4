"""What any answer has to beat: the box itself, an ellipse, a seeded watershed, GrabCut."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, filters, segmentation

from promptile.models.protocols import View

Baseline = Callable[[View, NDArray[np.float64]], NDArray[np.bool_]]
MARGIN = 0.25  # of the box's size: what GrabCut and the watershed see around it
INNER = 1 / 3  # of the box's size: the watershed's marker inside


def whole_box(view: View, box: NDArray[np.float64]) -> NDArray[np.bool_]:
    return whole_box_of(view.shape, box)


def ellipse(view: View, box: NDArray[np.float64]) -> NDArray[np.bool_]:
    return _ellipse(view.shape, box, 1.0)


def watershed(view: View, box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Flood the Sobel magnitude of the smoothed Lab image from the box's middle and from outside of it."""
    near = _around(box, view.shape)
    lab = ndimage.gaussian_filter(_lab(view.samples[:, *near]), (1, 1, 0))
    edges = np.max([filters.sobel(lab[..., c]) for c in range(3)], axis=0)
    shifted = box - [s.start for s in near]
    markers = np.where(whole_box_of(edges.shape, shifted), 0, 2)
    markers[_ellipse(edges.shape, shifted, INNER)] = 1
    answer = np.zeros(view.shape, bool)
    answer[near] = segmentation.watershed(edges, markers) == 1
    return answer


def grabcut(view: View, box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """OpenCV's GrabCut; the box itself where it finds next to nothing."""
    import cv2

    near = _around(box, view.shape)
    shifted = box - [s.start for s in near]
    mask = whole_box_of(view.valid[near].shape, shifted)
    labels = np.where(mask, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if mask.all():  # it needs some background
        return whole_box(view, box)
    rgb = np.ascontiguousarray((_rgb(view.samples[:, *near]) * 255).astype(np.uint8))
    cv2.setRNGSeed(0)
    cv2.grabCut(rgb, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    found = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    answer = np.zeros(view.shape, bool)
    answer[near] = found if found.sum() > 0.1 * mask.sum() else mask
    return answer


def all_baselines() -> dict[str, Baseline]:
    """Each baseline by the name it has in the report; GrabCut only where OpenCV is installed."""
    found: dict[str, Baseline] = {
        "the box itself": whole_box,
        "ellipse in the box": ellipse,
        "seeded watershed": watershed,
    }
    if importlib.util.find_spec("cv2"):
        found["GrabCut"] = grabcut
    return found


def whole_box_of(shape: tuple[int, ...], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside = np.zeros(shape, bool)
    inside[_slices(box, shape)] = True
    return inside


def _slices(box: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[slice, ...]:
    edges = np.clip(np.rint(box + 0.5).astype(int), 0, shape)
    return tuple(slice(a, max(b, a + 1)) for a, b in zip(*edges, strict=True))


def _around(box: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[slice, ...]:
    margin = np.ceil((box[1] - box[0]) * MARGIN) + 3
    return _slices(np.stack([box[0] - margin, box[1] + margin]), shape)


def _ellipse(shape: tuple[int, ...], box: NDArray[np.float64], size: float) -> NDArray[np.bool_]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    middle, half = box.mean(axis=0), np.maximum((box[1] - box[0]) / 2 * size, 0.6)
    return ((y - middle[0]) / half[0]) ** 2 + ((x - middle[1]) / half[1]) ** 2 <= 1


def _rgb(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    shown = np.clip(samples[:3] if len(samples) >= 3 else samples[:1].repeat(3, axis=0), 0, 1)
    return np.moveaxis(shown, 0, -1)


def _lab(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    return color.rgb2lab(_rgb(samples))
