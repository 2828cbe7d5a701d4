"""Grounding DINO and MM-Grounding DINO: an image beside a caption; each box has a probability of each of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from promptile.models.detectors.boxes import Found, corners_of, scaled
from promptile.models.detectors.captions import Caption, captions_of
from promptile.models.detectors.model import Finder
from promptile.models.pictures import Picture, resized
from promptile.models.protocols import Thresholds

_SHORT, _LONG = 800, 1333
"""Sides of the input that the authors resize to."""


class GroundingDino(Finder[list[Caption]]):
    """Finds boxes whose tokens are likely.

    A box is about the phrase that has its most likely token, and that token's probability is its score. It counts if
    the score is above both thresholds: one is for boxes, the other for tokens to name a box at all.
    """

    colours = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    def _image(self, picture: Picture) -> Tensor:
        said = {"shortest_edge": _SHORT, "longest_edge": _LONG} | (self._snapshot.sizes.get("size") or {})
        rows, columns, _ = picture.shape
        shape = _input((rows, columns), said["shortest_edge"], said["longest_edge"])
        return self._normal(resized(picture, shape, "bilinear"))

    def _asked(self, phrases: Sequence[str]) -> list[Caption]:
        return captions_of(phrases, self._snapshot, self._network.config.max_text_len)

    def _find(
        self, images: Tensor, shape: tuple[int, int], question: list[Caption], thresholds: Thresholds
    ) -> list[Found]:
        found = [self._read(images, shape, caption, max(thresholds.box, thresholds.text)) for caption in question]
        first, *others = found
        for other in others:
            first = [one + more for one, more in zip(first, other, strict=True)]
        return first

    def _read(self, images: Tensor, shape: tuple[int, int], caption: Caption, least: float) -> list[Found]:
        """What images show of one caption's phrases."""
        seen = self._network(pixel_values=images, input_ids=caption.ids.expand(len(images), -1))
        likely = seen.logits.sigmoid()
        best = torch.stack([likely[..., list(tokens)].amax(-1) for tokens in caption.tokens], -1)
        scores, which = best.max(-1)
        phrases = torch.tensor(caption.phrases, device=which.device)[which]
        corners = scaled(corners_of(seen.pred_boxes), shape)
        kept = scores > least
        return [Found(corners[i][kept[i]], scores[i][kept[i]], phrases[i][kept[i]]) for i in range(len(images))]


def _input(shape: tuple[int, int], short: int, long: int) -> tuple[int, int]:
    """Rows and columns of the input for a view: its short side is `short`, but its long one not above `long`.

    Rounded as by the authors, who let the long side be shorter by a pixel.
    """
    low, high = min(shape), max(shape)
    exact = float(short)
    if high / low * short > long:
        exact = long * low / high
        short = round(exact)
    if low == short:
        return shape
    short, other = max(1, short), int(exact * high / low)
    return (short, other) if shape[0] <= shape[1] else (other, short)
