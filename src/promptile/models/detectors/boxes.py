"""Boxes from a network's numbers to a view's index coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from promptile.models.protocols import Detections


@dataclass(frozen=True, eq=False)
class Found:
    """What a network says of one view, before anything is sorted."""

    corners: Tensor
    """``(n, 4)``: left, top, right, bottom in the view's samples, 0 at its edge."""
    scores: Tensor
    """``(n,)``"""
    phrases: Tensor
    """``(n,)``"""
    masks: Tensor | None = None
    """``(n, rows, columns)``"""

    def __add__(self, other: Found) -> Found:
        masks = None if self.masks is None or other.masks is None else torch.cat([self.masks, other.masks])
        return Found(
            torch.cat([self.corners, other.corners]),
            torch.cat([self.scores, other.scores]),
            torch.cat([self.phrases, other.phrases]),
            masks,
        )


def corners_of(boxes: Tensor) -> Tensor:
    """Left, top, right, bottom of boxes ``(..., 4)`` that are given by centre, width and height."""
    x, y, width, height = boxes.unbind(-1)
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)


def scaled(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes ``(..., 4)`` that are given in parts of an image of this shape, in its samples."""
    rows, columns = shape
    return boxes * boxes.new_tensor([columns, rows, columns, rows])


def detections_of(found: Found, shape: tuple[int, int]) -> Detections:
    """What was found in a view of this shape, the best first; cut at its border, without what lies beyond it.

    ::

        a network's      0   1   2   3        edges count from 0
                         +---+---+---+
        ours           -0.5 0.5 1.5 2.5       0 is the first sample's centre
    """
    corners = found.corners.cpu().double().numpy().reshape(-1, 2, 2)[..., ::-1] - 0.5
    corners = corners.clip(-0.5, np.subtract(shape, 0.5))
    scores = found.scores.cpu().double().numpy()
    order = np.argsort(-scores, kind="stable")
    order = order[(corners[order, 1] > corners[order, 0]).all(axis=1)]
    masks = None if found.masks is None else found.masks.cpu().numpy()[order]
    phrases = found.phrases.cpu().numpy().astype(np.int64)
    return Detections(np.ascontiguousarray(corners[order]), scores[order], phrases[order], masks)
