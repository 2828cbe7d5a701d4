"""What is asked of any search among all that a model can think of."""

from __future__ import annotations

from dataclasses import dataclass

from promptile.engine.words import is_count, is_share
from promptile.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How closely a model is asked, and what counts as the same answer.

    Parameters
    ----------
    points_per_side : int
        Points along the longer side of a tile that are asked.
    box_nms_thresh : float
        Of masks whose boxes have an IoU above it, the best one is kept.
    """

    points_per_side: int
    box_nms_thresh: float

    def __post_init__(self) -> None:
        if not is_count(self.points_per_side):
            raise UsageError(f"points_per_side is {self.points_per_side}: it must be 1 or more")
        if not is_share(self.box_nms_thresh):
            raise UsageError(f"box_nms_thresh is {self.box_nms_thresh}: it must be from 0 to 1")
