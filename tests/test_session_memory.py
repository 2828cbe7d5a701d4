"""Long sessions: memory stays flat, and a step stays quick however many objects there are."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from perfect import Perfect
from promptile import Prompts, Session, Tiling
from promptile.grid import Window
from test_session_paint import accept_box, open_session, stroke_of

MB = 2**20


@pytest.fixture(autouse=True, scope="module")
def quick_disk() -> Iterator[None]:
    """Waiting for the disk is for power cuts, which no test makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.mark.slow
def test_memory_stays_flat_however_many_clicks() -> None:
    """Each cycle looks at one of 64 windows; what is remembered of them is bounded."""
    truth = np.kron(np.arange(1, 65, dtype=np.uint16).reshape(8, 8), np.ones((128, 128), np.uint16))
    work = Session(truth, Perfect(2), tiling=Tiling(256, 128), window=(0, 64))
    cache = work.setting.grower.embedder._cache
    cache.limit = 4 * MB

    def cycles(count: int) -> int:
        for n in range(count):
            y, x = divmod(n * 11 % 64, 8)
            work.predict(Prompts.of(points=[(64 + 128 * y, 64 + 128 * x)]))
            work.accept()
            work.undo()
        gc.collect()
        return psutil.Process().memory_info().rss

    cycles(150)
    before = cycles(50)
    after = cycles(300)
    assert after - before < 8 * MB
    assert cache._bytes <= cache.limit
    assert len(work.run.journal.steps) == 1
    assert not work.states


def test_a_step_costs_no_more_files_with_many_objects() -> None:
    """Counted, not timed: what is read and written does not depend on how many objects there are."""
    work = open_session(None, (1200, 1200))
    counts: list[int] = []
    folder = work.run.folder
    touched: list[str] = []

    class Counting(type(folder)):
        def read(self, name: str) -> bytes:
            touched.append(name)
            return super().read(name)

        def write(self, name: str, content: bytes) -> None:
            touched.append(name)
            super().write(name, content)

        def names(self, room: str = "") -> list[str]:
            touched.append(room)
            return super().names(room)

    work.run.folder = work.run.journal._folder = Counting(folder.path)
    for n in range(60):
        touched.clear()
        y, x = divmod(n, 15)
        accept_box(work, Window((80 * y, 80 * x), (30, 30)))
        work.undo()
        work.redo()
        work.paint([stroke_of(work, Window((80 * y, 80 * x), (5, 5)), np.ones((5, 5), bool), 0)])
        work.rename([1 + n], "x")
        counts.append(len(touched))
    assert max(counts) <= min(counts) + 2
