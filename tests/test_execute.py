"""What every executor must do; and what those must do that have workers which can die.

1. Each item gives one outcome, and its answer is written once; the bytes are the same from all executors.
2. An error in any step is an outcome, the others go on.
3. When the iterator is closed early, nothing new is begun. Ctrl-C passes through.
4. What is in memory at a time does not grow with the number of items.
5. A worker opens what it needs once. An executor can be used again, and leaves nothing behind.
6. Items of a worker that dies are done by another one; those that kill each worker become errors.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from promptile import models
from promptile.engine.execute import Dask, Executor, Processes, Serial, Threads, choose, cluster
from promptile.engine.execute.processes import cores
from promptile.engine.execute.threads import AHEAD, BEHIND
from promptile.errors import SourceError, UsageError, WorkerError
from promptile.rendering import Rendering
from promptile.sources import open_source
from works import Lost, Noted, Stubborn, Threading

ITEMS = range(12)

MAKERS = {"serial": Serial, "threads": Threads, "processes": lambda: Processes(2), "dask": lambda: Dask(2)}


@pytest.fixture(scope="module", params=MAKERS)
def kind(request):
    if request.param == "dask":
        pytest.importorskip("distributed")
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
    assert begun <= 2 * most_at_once(executor)
    assert len(work.content()) == begun  # what was computed is kept


def most_at_once(executor):
    """How many items may be in memory."""
    if isinstance(executor, Serial):
        return 1
    return (AHEAD + 1 + BEHIND) * executor.workers * (2 if isinstance(executor, Dask) else 1)


def settle(work):
    """Wait until nothing is noted any more."""
    before = None
    while before != (before := work.lines()):
        time.sleep(0.4)


def test_it_can_be_used_again_after_an_early_end(executor, noted, tmp_path_factory):
    first = Noted(tmp_path_factory.mktemp("first"), seconds=0.02)
    for _ in executor.run(first, range(1000)):
        break
    second = noted()
    assert {i: o.kept for i, o in everything(executor, second).items()} == {i: i * i for i in ITEMS}


@pytest.fixture
def ctrl_c():
    """Ctrl-C is heard, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_passes_through(executor, noted, ctrl_c):
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
    assert work.most_in_flight() <= most_at_once(executor)


def test_a_slow_caller_does_not_fill_the_memory(executor, noted):
    work = noted()
    for n, _ in enumerate(executor.run(work, range(30))):
        time.sleep(0.01)
        begun = sum(k.startswith("read") for k in work.notes())
        assert begun <= n + 1 + 2 * most_at_once(executor)


def test_each_worker_opens_once(executor, noted):
    work = noted(seconds=0.02)
    everything(executor, work, range(20))
    opened = {k: n for k, n in work.notes().items() if k.startswith("open")}
    assert set(opened.values()) == {1}
    assert len(opened) == executor.workers


@pytest.fixture
def pool(kind, executor):
    """An executor whose workers can die."""
    if kind in ("serial", "threads"):
        pytest.skip("works in this process")
    return executor


def test_a_worker_that_is_killed_loses_nothing(pool, noted):
    work = noted(trouble={4: "kill once"}, seconds=0.01)
    outcomes = everything(pool, work)
    assert not any(o.error for o in outcomes.values())
    assert len(work.content()) == len(ITEMS)
    again = {k: n for k, n in work.notes().items() if k.startswith("compute") and n > 1}
    assert again["compute 4"] == 2
    assert len(again) <= 8  # the batch, not the run


@pytest.mark.parametrize("killers", [(4,), (0, 1, 11)])
def test_an_item_that_kills_its_worker_becomes_an_error_and_the_others_go_on(pool, noted, killers):
    work = noted(trouble=dict.fromkeys(killers, "kill"), seconds=0.01)
    outcomes = everything(pool, work)
    failed = {i: o.error for i, o in outcomes.items() if o.error}
    assert {*failed} == {*killers}
    assert all(isinstance(e, WorkerError) and "\n" not in str(e) for e in failed.values())
    assert len(work.content()) == len(ITEMS) - len(killers)
    assert all(1 <= work.notes()[f"compute {i}"] <= 2 for i in killers)


def test_workers_that_die_one_after_the_other_end_the_run(noted):
    with Processes(1) as pool:
        with pytest.raises(WorkerError, match="one after the other"):
            list(pool.run(noted(trouble=dict.fromkeys(range(1000), "kill")), range(1000)))
        assert len(everything(pool, noted(), range(2000, 2005))) == 5


def test_work_that_cannot_be_sent_is_refused_in_one_line(pool, tmp_path):
    with pytest.raises(UsageError, match=r"cannot be sent to other processes .*Stubborn.*--workers 1"):
        list(pool.run(Stubborn(tmp_path), ITEMS))
    with pytest.raises(WorkerError, match=r"A worker cannot begin: .* is not here"):
        list(pool.run(Lost(tmp_path), ITEMS))
    assert len(everything(pool, Noted(tmp_path))) == len(ITEMS)


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_is_left_behind(name, noted):
    if name == "dask":
        pytest.importorskip("distributed")
    environment = dict(os.environ)
    threads, children = {*threading.enumerate()}, {*psutil.Process().children(recursive=True)}
    with MAKERS[name]() as executor:
        for n, _ in enumerate(executor.run(noted(seconds=0.01), range(100))):
            if n == 5:
                break
    started = [t for t in {*threading.enumerate()} - threads if not t.name.startswith("Dask-Offload")]
    for thread in started if name == "dask" else ():
        thread.join(10)  # those that watch its processes hear of their end a moment later
    assert not [t for t in started if t.is_alive()]
    assert dict(os.environ) == environment
    left = {*psutil.Process().children(recursive=True)} - children
    assert not [p for p in left if "resource_tracker" not in " ".join(p.cmdline())]


def test_workers_share_the_cores_out(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    with Processes(2) as pool:
        seen = everything(pool, Threading(), range(4))
    each = max(cores() // 2, 1)
    assert {o.kept for o in seen.values()} == {(str(each), "7", each)}
    assert "OMP_NUM_THREADS" not in os.environ


def test_workers_end_when_their_caller_is_killed(tmp_path):
    code = """if __name__ == "__main__":
        import sys, pathlib
        from promptile.engine.execute import Processes
        from works import Noted
        with Processes(2) as pool:
            for outcome in pool.run(Noted(pathlib.Path(sys.argv[1]), seconds=0.1), range(1000)):
                print(outcome.item, flush=True)
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, env=environment) as caller:
        caller.stdout.readline()
        workers = psutil.Process(caller.pid).children(recursive=True)
        assert len(workers) >= 2
        caller.kill()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib\n"
        "from promptile.engine.execute import Processes\n"
        "from works import Noted\n"
        "with Processes(1) as pool:\n"
        "    list(pool.run(Noted(pathlib.Path('.')), range(3)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert ended.returncode == 1
    assert 'runs under `if __name__ == "__main__":`' in ended.stderr.splitlines()[-1]


@pytest.fixture
def elsewhere():
    """A cluster that somebody else has started."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_at_an_address(elsewhere, noted):
    work = noted(trouble={4: "kill once", 6: "read"}, seconds=0.01)
    with choose(scheduler=elsewhere) as executor:
        assert executor.workers == 2
        outcomes = everything(executor, work)
    assert {i for i, o in outcomes.items() if o.error} == {6}
    assert len(work.content()) == len(ITEMS) - 1
    with choose(scheduler=elsewhere) as executor:  # the cluster goes on without us
        assert len(everything(executor, noted(), range(2000, 2005))) == 5


@pytest.mark.parametrize("closed", [False, True])
def test_a_cluster_that_ends_is_told_in_one_line(noted, monkeypatch, closed):
    """Also where the client has found out, and closed itself, before it is told that nothing more is wanted."""
    distributed = pytest.importorskip("distributed")
    from distributed.client import ClosedClientError

    def cancel(*_):
        raise ClosedClientError("Client is closed. Can't send cancel-keys message.")

    monkeypatch.setattr(cluster, "PATIENCE", 1)
    there = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    )
    with there, Dask(there.scheduler_address) as executor:
        outcomes = executor.run(noted(seconds=0.05), range(1000))
        next(outcomes)
        there.close()
        if closed:
            monkeypatch.setattr(executor._client, "cancel", cancel)
        with pytest.raises(WorkerError, match="scheduler ended"):
            list(outcomes)


def test_a_scheduler_that_does_not_answer_is_told_in_one_line(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(WorkerError, match=r"No dask scheduler .* tcp://127.0.0.1:9"), choose(1, "tcp://127.0.0.1:9"):
        pass


def test_without_the_extra_dask_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'promptile\[dask\]'"), Dask(2):
        pass


def test_choose():
    assert isinstance(choose(), Threads)
    assert isinstance(choose(3), Processes)
    assert isinstance(choose(3, "local"), Dask)
    assert choose(3).workers == choose(3, "local").workers == 3
    for workers, scheduler, wrong in [
        (0, None, "0 workers do nothing"),
        (2, "tcp://host:8786", "has its own workers"),
        (1, "host", "is no scheduler"),
    ]:
        with pytest.raises(UsageError, match=wrong):
            choose(workers, scheduler)


def test_nothing_heavy_is_loaded_before_it_is_used():
    code = "import sys, promptile.engine.execute; print({'distributed', 'numba', 'numpy', 'torch'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b"set()"


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
