"""One question to the model, in the worker's thread: what is seen first, then all of the object, then its pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from promptile._napari.sketch import Sketch
from promptile._napari.widget.seen import Preview
from promptile.engine.grow import Candidates
from promptile.engine.objects import Grown
from promptile.engine.slices import Arrival, Slices, stacked
from promptile.prompts.prompts import Prompts
from promptile.session import Session, thumbnails

_OFTEN = 0.4
"""Seconds between two sketches of an object whose slices arrive."""


@dataclass(frozen=True)
class Way:
    """How a question is asked.

    Parameters
    ----------
    level : int
        Where points are asked.
    slices : Slices, optional
        For a model of images in a volume.
    """

    level: int
    slices: Slices | None = None

    def take(self, session: Session) -> None:
        """Let a session ask this way from now on."""
        session.look(level=self.level)
        if self.slices is not None:
            session.follow(self.slices)


class Look:
    """A question whose answer comes in parts.

    Parameters
    ----------
    glimpsed : callable
        Called with what the first window shows, if more is to come, with slices as they arrive, and with the object
        before it has pictures.
    """

    def __init__(self, glimpsed: Callable[[Preview], None] = lambda _: None) -> None:
        self._glimpsed = glimpsed

    def ask(self, session: Session, prompts: Prompts, way: Way) -> Preview:
        """What the prompts mean."""
        way.take(session)
        arrivals = _Arrivals(session, self._glimpsed)
        return self._whole(session, session.predict(prompts, None, self._first(session), arrivals.add))

    def choose(self, session: Session, candidate: int) -> Preview:
        """Another answer to what was asked last."""
        arrivals = _Arrivals(session, self._glimpsed)
        return self._whole(session, session.choose(candidate, self._first(session), arrivals.add))

    def _first(self, session: Session) -> Callable[[Candidates], None]:
        def glimpse(candidates: Candidates) -> None:
            sketch = Sketch.at_first(candidates, session.source.levels[candidates.level])
            if not candidates.level and not _reaches_edge(sketch.samples):
                return  # it is all of the object, which comes at once: to show it twice takes longer
            count, score = int(sketch.samples.sum()), float(candidates.masks.scores[candidates.taken])
            self._glimpsed(Preview(sketch, count, score, False, candidates.level, [], whole=False))

        return glimpse

    def _whole(self, session: Session, grown: Grown) -> Preview:
        sketch, count = Sketch.of(grown.mask), grown.mask.count
        seen = Preview(sketch, count, grown.score, grown.open_edge, grown.level, [], session.doubt)
        self._glimpsed(seen)
        return replace(seen, thumbnails=thumbnails(session.setting.job, grown.candidates))


class _Arrivals:
    """Slices of an object, shown together as they come, but not each time."""

    def __init__(self, session: Session, glimpsed: Callable[[Preview], None]) -> None:
        self._session, self._glimpsed = session, glimpsed
        self._sheets: dict[int, Arrival] = {}
        self._shown = time.monotonic()

    def add(self, arrival: Arrival) -> None:
        """Another slice is there."""
        self._sheets[arrival.index] = arrival
        slices = self._session.setting.job.slices
        if slices is None or time.monotonic() - self._shown < _OFTEN:
            return
        sheets = {index: each.sheet for index, each in self._sheets.items() if each.sheet}
        mask = stacked(self._session.source.grid.shape, int(slices.axis), sheets)
        seen = Preview(Sketch.of(mask), mask.count, arrival.score, False, 0, [], whole=False, slices=len(self._sheets))
        self._glimpsed(seen)
        self._shown = time.monotonic()


def _reaches_edge(samples: NDArray[np.uint8]) -> bool:
    """Whether an object reaches the edge of what is seen of it."""
    return any(samples.take((0, -1), axis).any() for axis in range(samples.ndim))
