"""The worker: who goes first, what is given up, and that nothing is lost or left behind. No clock decides anything."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from promptile.engine.progress import Cancelled
from promptile.session import Ticket, Worker

PATIENCE = 20.0


class Stage:
    """Work that stops where the test wants it to, and a list of what happened."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.told: queue.Queue[Callable[[], None]] = queue.Queue()
        self.worker = Worker(self.told.put)
        self.gates: dict[str, threading.Event] = {}
        self.begun: dict[str, threading.Event] = {}

    def work(self, name: str, checkpoints: int = 0) -> Callable[[], str]:
        """Work that says when it begins, waits to be let on, and passes so many checkpoints."""
        self.gates[name], self.begun[name] = threading.Event(), threading.Event()

        def work() -> str:
            self.said.append(f"{name} begins")
            self.begun[name].set()
            assert self.gates[name].wait(PATIENCE)
            for n in range(checkpoints):
                self.worker.checkpoint()
                self.said.append(f"{name} {n}")
            return name

        return work

    def quick(self, name: str) -> Callable[[], str]:
        return lambda: self.said.append(name) or name

    def let(self, *names: str) -> None:
        for name in names:
            self.gates[name].set()

    def wait_for(self, name: str) -> None:
        assert self.begun[name].wait(PATIENCE)

    def order(self, name: str, work: Callable[[], str] | None = None) -> Ticket[str]:
        return self.worker.order(work or self.quick(name), self.done, self.failed)

    def preview(self, name: str, work: Callable[[], str] | None = None) -> Ticket[str]:
        return self.worker.preview(work or self.quick(name), self.done, self.failed)

    def background(self, name: str, work: Callable[[], str]) -> Ticket[str]:
        return self.worker.background(work, self.done, self.failed, lambda: self.said.append(f"{name} ended"))

    def done(self, given: str) -> None:
        self.said.append(f"{given} done")

    def failed(self, error: Exception) -> None:
        self.said.append(error)

    def settle(self) -> list[Any]:
        """All that happened, once all is done; outcomes are told here."""
        finished = threading.Event()
        self.worker.background(lambda: None, lambda _: finished.set(), self.failed, finished.set)
        while not finished.is_set():
            self.told.get(timeout=PATIENCE)()
        return self.said


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    for gate in stage.gates.values():
        gate.set()
    assert stage.worker.close(PATIENCE)
    assert "promptile-worker" not in [thread.name for thread in threading.enumerate()]


def test_orders_are_done_one_after_the_other_and_told_where_they_were_asked(stage: Stage) -> None:
    names = [str(n) for n in range(20)]
    threads = []
    for name in names:
        stage.worker.order(lambda: threads.append(threading.current_thread().name), lambda _: None, stage.failed)
        stage.order(name)
    assert [s for s in stage.settle() if not s.endswith("done")] == names
    assert [s for s in stage.said if s.endswith("done")] == [f"{name} done" for name in names]
    assert set(threads) == {"promptile-worker"}
    assert threading.current_thread().name != "promptile-worker"


def test_of_previews_that_wait_only_the_newest_is_computed(stage: Stage) -> None:
    stage.order("o", stage.work("o"))
    stage.wait_for("o")
    tickets = [stage.preview(str(n)) for n in range(5)]
    assert [t.cancelled for t in tickets] == [True] * 4 + [False]
    stage.let("o")
    assert stage.settle() == ["o begins", "4", "o done", "4 done"] or stage.said == [
        "o begins",
        "o done",
        "4",
        "4 done",
    ]


def test_a_preview_at_work_is_given_up_for_a_newer_one_at_its_next_checkpoint(stage: Stage) -> None:
    stage.preview("a", stage.work("a", checkpoints=3))
    stage.wait_for("a")
    stage.preview("b")
    stage.let("a")
    assert stage.settle() == ["a begins", "b", "b done"]


def test_an_accept_gets_the_preview_that_was_asked_before_it(stage: Stage) -> None:
    stage.preview("a", stage.work("a", checkpoints=3))
    stage.wait_for("a")
    stage.preview("b")
    stage.order("accept b")
    stage.preview("c")
    stage.preview("d")
    stage.order("accept d")
    stage.let("a")
    assert [s for s in stage.settle() if "done" not in s] == ["a begins", "b", "accept b", "d", "accept d"]


def test_a_preview_at_work_is_finished_for_the_order_behind_it(stage: Stage) -> None:
    ticket = stage.preview("a", stage.work("a", checkpoints=2))
    stage.wait_for("a")
    stage.order("accept a")
    stage.preview("b")
    assert not ticket.cancelled
    stage.let("a")
    assert [s for s in stage.settle() if "done" not in s] == ["a begins", "a 0", "a 1", "accept a", "b"]


def test_background_work_lets_orders_and_previews_go_first_at_its_checkpoints(stage: Stage) -> None:
    stage.background("run", stage.work("run", checkpoints=2))
    stage.wait_for("run")
    stage.preview("a")
    stage.order("accept a")
    stage.preview("b", stage.work("b", checkpoints=1))
    stage.let("run")
    stage.wait_for("b")
    assert stage.worker.busy
    stage.preview("c")  # b is given up, the run is not
    stage.let("b")
    told = [s for s in stage.settle() if "done" not in s]
    assert told == ["run begins", "a", "accept a", "b begins", "c", "run 0", "run 1"]
    assert stage.said[-1] == "run done"


def test_cancelled_background_work_ends_at_its_next_checkpoint(stage: Stage) -> None:
    ticket = stage.background("run", stage.work("run", checkpoints=9))
    waiting = stage.background("later", stage.work("later"))
    stage.wait_for("run")
    ticket.cancel()
    waiting.cancel()
    stage.order("o")
    stage.let("run")
    assert stage.settle() == ["run begins", "o", "run ended", "later ended", "o done"] or "run 0" not in stage.said
    assert {"run ended", "later ended", "o done"} <= set(stage.said)
    assert "later begins" not in stage.said


def test_cancelling_from_an_order_inside_ends_the_work_around_it(stage: Stage) -> None:
    ticket = stage.background("run", stage.work("run", checkpoints=3))
    stage.wait_for("run")
    stage.order("stop", lambda: ticket.cancel() or "stop")
    stage.order("after")
    stage.let("run")
    assert "run 0" not in stage.settle()
    assert {"stop done", "after done", "run ended"} <= set(stage.said)


def test_failures_are_told_and_the_thread_lives_on(stage: Stage) -> None:
    wrong = ValueError("no such thing")

    def fail() -> str:
        raise wrong

    stage.order("a", fail)
    stage.preview("b", fail)
    stage.background("c", fail)
    stage.order("d")
    assert [s for s in stage.settle() if s is wrong] == [wrong] * 3
    assert "d done" in stage.said


def test_who_is_told_may_fail_and_others_are_served(caplog: pytest.LogCaptureFixture) -> None:
    worker, done = Worker(), threading.Event()

    def fail(_: object) -> None:
        raise ValueError("the window has gone")

    worker.order(lambda: None, fail, fail)
    worker.order(lambda: None, lambda _: done.set(), fail)
    assert done.wait(PATIENCE)
    assert worker.close(PATIENCE)
    assert "the window has gone" in caplog.text


def test_idle_work_is_done_last_and_given_up_for_anything(stage: Stage) -> None:
    ended = threading.Event()

    def look_ahead() -> None:
        try:
            stage.work("idle", checkpoints=1)()
        except Cancelled:
            ended.set()
            raise

    stage.work("idle")
    stage.worker.idle(look_ahead)
    while "idle begins" not in stage.said:
        ended.wait(0.001)
    stage.worker.idle(stage.quick("idle 2"))
    stage.worker.idle(stage.quick("idle 3"))
    stage.order("o")
    stage.background("run", stage.work("run"))
    stage.let("idle", "run")
    assert ended.wait(PATIENCE)
    stage.settle()
    while stage.worker.busy:
        ended.wait(0.001) or threading.Event().wait(0.001)
    assert [s for s in stage.said if "done" not in s] == ["idle begins", "o", "run begins", "idle 3"]


def test_closing_finishes_orders_with_the_preview_they_are_about_and_gives_up_the_rest() -> None:
    stage = Stage()
    stage.background("run", stage.work("run", checkpoints=1))
    stage.background("later", stage.work("later"))
    stage.wait_for("run")
    stage.preview("a", stage.work("a", checkpoints=1))
    stage.order("accept a")
    stage.preview("b")
    stage.worker.idle(stage.quick("idle"))
    stage.let("run")
    closing = threading.Thread(target=stage.worker.close, args=(PATIENCE,))
    closing.start()
    while not stage.worker._closed:
        threading.Event().wait(0.001)
    stage.let("a")
    closing.join(PATIENCE)
    assert not closing.is_alive()
    while not stage.told.empty():
        stage.told.get()()
    did = [s for s in stage.said if "done" not in s and "ended" not in s]
    assert did in (
        ["run begins", "a begins", "a 0", "accept a"],
        ["run begins", "run 0", "a begins", "a 0", "accept a"],
    )
    assert "later ended" in stage.said
    assert {"a done", "accept a done"} <= set(stage.said)
    assert "promptile-worker" not in [thread.name for thread in threading.enumerate()]
    late = stage.background("late", stage.quick("late"))
    assert late.cancelled
    stage.told.get(timeout=PATIENCE)()
    assert stage.said[-1] == "late ended"
    assert not stage.worker.busy


def test_a_preview_at_work_is_finished_if_an_order_waits_for_it_when_all_is_closed() -> None:
    stage = Stage()
    stage.preview("a", stage.work("a", checkpoints=2))
    stage.wait_for("a")
    stage.order("accept a")
    assert not stage.worker.close(0.01)  # not within that time
    stage.let("a")
    assert stage.worker.close(PATIENCE)
    assert stage.said == ["a begins", "a 0", "a 1", "accept a"]


def test_a_preview_that_nobody_waits_for_ends_when_all_is_closed() -> None:
    stage = Stage()
    stage.preview("a", stage.work("a", checkpoints=2))
    stage.wait_for("a")
    assert not stage.worker.close(0.01)
    stage.let("a")
    assert stage.worker.close(PATIENCE)
    assert stage.said == ["a begins"]


def test_checkpoints_of_other_threads_and_of_no_work_do_nothing(stage: Stage) -> None:
    stage.background("run", stage.work("run"))
    stage.wait_for("run")
    stage.preview("a")
    stage.worker.checkpoint()
    assert stage.said == ["run begins"]
    stage.let("run")
    assert "a done" in stage.settle()


def test_three_hundred_previews_at_speed_end_with_the_last() -> None:
    """Beside a long run, an accept after every tenth; every accept sees the click before it."""
    stage = Stage()
    state = {"preview": -1}
    accepted: list[tuple[int, int]] = []
    stop = threading.Event()

    def run() -> str:
        while not stop.is_set():
            stage.worker.checkpoint()
        return "run"

    def ask(n: int) -> Callable[[], str]:
        def work() -> str:
            state["preview"] = -1
            for _ in range(3):
                stage.worker.checkpoint()
            state["preview"] = n
            return f"{n}"

        return work

    def keep(n: int) -> Callable[[], str]:
        return lambda: accepted.append((n, state["preview"])) or "kept"

    stage.background("run", run)
    for n in range(300):
        stage.preview(f"{n}", ask(n))
        if n % 10 == 9:
            stage.order(f"accept {n}", keep(n))
    stage.preview("last", ask(300))
    ready = threading.Event()
    stage.order("ready", lambda: ready.set() or "ready")
    assert ready.wait(PATIENCE)
    stop.set()
    assert stage.worker.close(PATIENCE)
    assert accepted == [(n, n) for n in range(9, 300, 10)]
    assert state["preview"] == 300
