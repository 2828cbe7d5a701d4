"""A prompt of several clicks as the dialogue that it was: each click corrects the answer to those before it.

Models of SAM's kind learnt to be asked so: with the points and with their own last answer as a mask.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace

import numpy as np

from promptile.models.protocols import WindowPrompt

MOST_TURNS = 8
"""Of more clicks only the last ones are told one by one: a file may hold hundreds of an object."""


def turns(asked: WindowPrompt) -> Iterator[WindowPrompt]:
    """What was asked, click by click: the box, or as many points as hold one on the object; then a point more each."""
    count = len(asked.points)
    first = 0 if asked.box is not None else int(np.argmax(asked.labels)) + 1 if asked.labels.any() else count
    for n in range(max(first, count - MOST_TURNS + 1), count + 1):
        yield replace(asked, points=asked.points[:n], labels=asked.labels[:n])


def key_of(asked: WindowPrompt) -> Hashable:
    """Two questions without masks are equal if their keys are."""
    box = b"" if asked.box is None else asked.box.tobytes()
    return asked.points.tobytes(), asked.labels.tobytes(), box
