"""What every executor must do; and what those must do that have workers which can die.

1. Each item gives one outcome, and its answer is written once; the bytes are the same from all executors.
2. An error in any step is an outcome, the others go on.
3. When the iterator is closed early, nothing new is begun. Ctrl-C passes through.
4. What is in memory at a time does not grow with the number of items.
5. A worker opens what it needs once. An executor can be used again, and leaves nothing behind.
6. Items of a worker that dies are done by another one; those that kill each worker become errors.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from promptile import models
from promptile.engine.execute import Executor, Serial, Threads
from promptile.engine.execute.threads import AHEAD, BEHIND
from promptile.errors import SourceError
from promptile.rendering import Rendering
from promptile.sources import open_source
from works import Noted

ITEMS = range(12)

MAKERS = {"serial": Serial, "threads": Threads}
MOST = {"serial": 1, "threads": AHEAD + 1 + BEHIND}
"""Items in flight."""


@pytest.fixture(scope="module", params=MAKERS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def executor(kind):
    with MAKERS[kind]() as executor:
        yield executor


@pytest.fixture
def noted(tmp_path):
    def make(**options):
        return Noted(tmp_path, **options)

    return make


def everything(executor, work, items=ITEMS):
    """All outcomes by item; each item has one."""
    outcomes = list(executor.run(work, items))
    assert Counter(o.item for o in outcomes) == Counter(items)
    return {o.item: o for o in outcomes}


def test_each_item_once(executor, noted):
    work = noted()
    outcomes = everything(executor, work)
    assert {i: o.kept for i, o in outcomes.items()} == {i: i * i for i in ITEMS}
    assert not any(o.error for o in outcomes.values())
    assert {k: n for k, n in work.notes().items() if "open" not in k} == {
        f"{step} {i}": 1 for i in ITEMS for step in ("read", "compute", "write")
    }


def test_the_same_bytes_from_all(executor, noted, tmp_path_factory):
    other = Noted(tmp_path_factory.mktemp("reference"))
    everything(Serial(), other)
    work = noted()
    everything(executor, work)
    assert work.content() == other.content()


def test_no_items_no_outcomes(executor, noted):
    assert everything(executor, noted(), []) == {}


def test_items_come_back_as_they_were_given(executor, noted):
    items = [*map(int, np.random.default_rng(0).permutation(9))]
    outcomes = list(executor.run(noted(), items))
    assert sorted(id(o.item) for o in outcomes) == sorted(map(id, items))


@pytest.mark.parametrize("step", ["read", "compute", "write"])
def test_errors_are_outcomes_and_the_others_go_on(executor, noted, step):
    work = noted(trouble={0: step, 5: step, 11: step})
    outcomes = everything(executor, work)
    failed = {i: o.error for i, o in outcomes.items() if o.error}
    assert {i: str(e) for i, e in failed.items()} == {i: f"{step} of {i} fails" for i in (0, 5, 11)}
    assert all(type(e) is SourceError for e in failed.values())
    assert all(outcomes[i].kept is None for i in failed)
    assert len(work.content()) == 9


@pytest.mark.parametrize("trouble", ["not sendable", "not readable"])
def test_an_error_that_does_not_travel_arrives_as_text(executor, noted, trouble):
    error = everything(executor, noted(trouble={3: trouble}))[3].error
    assert isinstance(error, Exception)
    assert "this one" in str(error)
    assert "3" in str(error)


def test_errors_hold_no_samples(executor, noted):
    error = everything(executor, noted(trouble={3: "compute"}))[3].error
    trace = error.__traceback__
    while trace is not None:
        assert not any(isinstance(v, np.ndarray) for v in trace.tb_frame.f_locals.values())
        trace = trace.tb_next


def test_closed_early_nothing_new_is_begun(executor, noted):
    work = noted(seconds=0.02)
    outcomes = executor.run(work, range(1000))
    next(outcomes)
    outcomes.close()
    settle(work)
    begun = sum(n for step, n in work.notes().items() if step.startswith("compute"))
    assert begun <= 3 * MOST_AT_ONCE(executor)
    assert len(work.content()) == begun  # what was computed is kept


def MOST_AT_ONCE(executor):  # noqa: N802
    return (AHEAD + 1 + BEHIND) * executor.workers


def settle(work):
    """Wait until nothing is noted any more."""
    before = None
    while before != (before := work.lines()):
        time.sleep(0.1)


def test_it_can_be_used_again_after_an_early_end(executor, noted, tmp_path_factory):
    first = Noted(tmp_path_factory.mktemp("first"), seconds=0.02)
    for _ in executor.run(first, range(1000)):
        break
    second = noted()
    assert {i: o.kept for i, o in everything(executor, second).items()} == {i: i * i for i in ITEMS}


def test_ctrl_c_passes_through(executor, noted):
    work = noted(seconds=0.05)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in executor.run(work, range(10_000)):
            pass
    timer.join()
    settle(work)
    notes = work.notes()
    assert notes["compute 0"] == 1
    assert len(notes) < 1000
    assert len(everything(executor, noted(), range(2000, 2005))) == 5


def test_what_is_in_memory_is_bounded(executor, noted):
    work = noted(seconds=0.005)
    everything(executor, work, range(60))
    assert work.most_in_flight() <= (1 if isinstance(executor, Serial) else MOST_AT_ONCE(executor))


def test_a_slow_caller_does_not_fill_the_memory(executor, noted):
    work = noted()
    for n, _ in enumerate(executor.run(work, range(30))):
        time.sleep(0.01)
        begun = sum(k.startswith("read") for k in work.notes())
        assert begun <= n + 1 + 2 * MOST_AT_ONCE(executor)


def test_each_worker_opens_once(executor, noted):
    work = noted(seconds=0.02)
    everything(executor, work, range(20))
    opened = {k: n for k, n in work.notes().items() if k.startswith("open")}
    assert set(opened.values()) == {1}
    assert len(opened) == executor.workers


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_is_left_behind(name, noted):
    threads, children = {*threading.enumerate()}, {*psutil.Process().children(recursive=True)}
    with MAKERS[name]() as executor:
        for n, _ in enumerate(executor.run(noted(seconds=0.01), range(100))):
            if n == 5:
                break
    assert {*threading.enumerate()} == threads
    left = {*psutil.Process().children(recursive=True)} - children
    assert not [p for p in left if "resource_tracker" not in " ".join(p.cmdline())]


def test_protocol(executor):
    def takes(executor: Executor) -> Executor:
        return executor

    assert takes(executor).workers >= 1


def test_what_is_sent_to_workers_can_be_sent():
    image = open_source(np.random.default_rng(0).random((3, 60, 60)), channel_axis=0)
    rendering = Rendering.of(image)
    assert pickle.loads(pickle.dumps(rendering)) == rendering
    for ndim in (2, 3):
        model = models.load("basin", ndim)
        sent = pickle.dumps(model)
        assert len(sent) < 2000
        assert pickle.loads(sent).card == model.card
