"""What runs inside a worker of a cluster: batches of items in, their outcomes out."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from promptile.engine.execute.protocol import Work
from promptile.engine.execute.threads import flow
from promptile.engine.execute.worker import Numbered, OnNumbered, told

_opening = threading.Lock()
_computing = threading.Lock()
"""A worker may do two batches at a time, so that one reads while the other computes; a model is used by one of them."""

_held: dict[str, Work] = {}
"""The work at hand by its run: what it opened serves all its batches."""

_ended: set[str] = set()
"""Runs of which nothing new is begun."""


def do(content: bytes, run: str, batch: Sequence[Numbered]) -> list[bytes]:
    """What became of the items of a batch, each as `told` says it."""
    rest = iter(batch)
    with closing(flow(_work(run, content), lambda _: [*islice(rest, 1)])) as flowing:
        computed = []
        for (number, _), written in flowing:
            computed.append((number, written))
            if run in _ended:
                break
    return [told(number, written) for number, written in computed]


def end(run: str) -> None:
    """Begin nothing new of a run, and forget what it held."""
    _ended.add(run)
    _held.pop(run, None)


class _OneAtATime(OnNumbered):
    """Work of which only one item is computed at a time, in whichever batch."""

    def compute(self, item: Numbered, seen: Any) -> Any:
        with _computing:
            return super().compute(item, seen)


def _work(run: str, content: bytes) -> Work:
    with _opening:
        if run not in _held:
            _held.clear()  # a caller that was killed has not ended its run
            _held[run] = _OneAtATime(pickle.loads(content))
        return _held[run]
