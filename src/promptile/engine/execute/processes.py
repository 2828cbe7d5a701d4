"""A pool of processes for models that run on the CPU.

Processes are spawned: a fork would copy locks that threads of GDAL, Zarr, numba or torch hold.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from types import TracebackType
from typing import Any, Generic

from promptile.engine.execute.protocol import Item, Outcome, Work
from promptile.engine.execute.worker import serve
from promptile.errors import UsageError, WorkerError

IN_FLIGHT = 2
"""Items that a worker has at a time: one is computed while the other is read or written."""

_SPAWN = get_context("spawn")
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)  # fmt: skip
"""How numerical libraries, torch among them, are told how many threads to use: they look when they are loaded."""


class Processes:
    """Processes that read, compute and write on their own; only items and small answers travel.

    The caller's script must be importable: what starts the work stands under ``if __name__ == "__main__":``.

    Parameters
    ----------
    workers : int
        How many. The machine's cores are shared out among their numerical libraries.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: list[_Worker] = []
        self._runs = itertools.count(1)

    def __enter__(self) -> Processes:
        self._fill()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for worker in self._pool:
            worker.end()
        for worker in self._pool:
            if not worker.begun:
                worker.process.join(5)
        self._abandon()

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[Outcome[Item, Any]]:
        """Outcomes as they come.

        Raises
        ------
        UsageError
            If the work cannot be sent to other processes.
        WorkerError
            If workers cannot begin, or die one after the other without doing anything.
        """
        round_ = _Round(next(self._runs), packed(work), items)
        try:
            self._fill()
            for worker in self._pool:
                worker.begin(round_.number, round_.content)
            while round_.left:
                for worker in self._pool:
                    round_.feed(worker)
                for worker in _with_news(self._pool):
                    yield from self._hear(worker, round_)
            self._stop()
        except GeneratorExit:
            self._stop()
            raise
        except BaseException:
            # A message may have been cut in the middle: these workers cannot be talked to any more.
            self._abandon()
            raise

    def _fill(self) -> None:
        while len(self._pool) < self.workers:
            self._pool.append(_Worker(max(cores() // self.workers, 1)))

    def _stop(self) -> None:
        for worker in self._pool:
            worker.stop()

    def _abandon(self) -> None:
        """End all workers, whatever they do: answers are written whole or not at all."""
        for worker in self._pool:
            worker.abandon()
        self._pool.clear()

    def _hear(self, worker: _Worker, round_: _Round[Item]) -> Iterator[Outcome[Item, Any]]:
        """What a worker says; or that it has died."""
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._replace(worker, round_)
            return
        worker.ready = True
        if kind == "refused" and content[0] == round_.number:
            raise WorkerError(f"A worker cannot begin: {content[1]}") from content[1]
        if kind == "done" and content[0] == round_.number:
            yield round_.done(worker, *content[1:])

    def _replace(self, worker: _Worker, round_: _Round[Item]) -> Iterator[Outcome[Item, Any]]:
        worker.abandon()
        self._pool.remove(worker)
        reason = worker.reason()
        if not worker.ready:
            raise WorkerError(
                f'A worker {reason} before it began: a script that uses workers runs under `if __name__ == "__main__":`'
            )
        round_.deaths += 1
        if round_.deaths > 2 * (self.workers + 2):
            raise WorkerError(f"Workers die one after the other, the last one {reason}: use fewer --workers")
        yield from round_.lose(worker, reason)
        self._fill()
        self._pool[-1].begin(round_.number, round_.content)


@dataclass(eq=False)
class _Round(Generic[Item]):
    """What is left of one run.

    Items whose worker died are suspects: each of them is tried once more with a worker of its own, so that it
    cannot take others with it again.
    """

    number: int
    content: bytes
    items: Sequence[Item]
    deaths: int = 0
    """Of workers since the last outcome."""
    suspects: deque[int] = field(default_factory=deque)
    tried: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = len(self.items)
        self._fresh = iter(range(self.left))

    def feed(self, worker: _Worker) -> None:
        """Give a worker what it has room for."""
        if self.suspects and not worker.begun:
            number = self.suspects.popleft()
            worker.do(number, self.items[number])
        while len(worker.begun) < IN_FLIGHT and self.tried.isdisjoint(worker.begun):
            fresh = next(self._fresh, None)
            if fresh is None:
                return
            worker.do(fresh, self.items[fresh])

    def done(self, worker: _Worker, number: int, kept: Any, error: Exception | None) -> Outcome[Item, Any]:
        self.deaths = 0
        self.left -= 1
        worker.begun.remove(number)
        return Outcome(self.items[number], kept, error)

    def lose(self, worker: _Worker, reason: str) -> Iterator[Outcome[Item, Any]]:
        """Take back what a dead worker had; give up what has been tried twice."""
        for number in sorted(worker.begun):
            if number not in self.tried:
                self.tried.add(number)
                self.suspects.append(number)
                continue
            self.left -= 1
            error = WorkerError(f"Its worker {reason}, twice: if memory ran out, use fewer --workers or smaller tiles")
            yield Outcome(self.items[number], None, error)


class _Worker:
    """One process, seen from outside."""

    def __init__(self, threads: int) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=serve, args=(theirs,), name="promptile-worker", daemon=True)
        self.begun: set[int] = set()
        self.ready = False
        with _starting(dict.fromkeys(_THREADS, str(threads))):
            self.process.start()
        theirs.close()  # so that the connection ends when the process does

    def begin(self, run: int, content: bytes) -> None:
        self.begun.clear()
        self._send("work", run, content)

    def do(self, number: int, item: Any) -> None:
        self.begun.add(number)
        self._send("item", number, item)

    def stop(self) -> None:
        self._send("stop")

    def end(self) -> None:
        self._send("end")

    def abandon(self) -> None:
        self.process.terminate()
        self.process.join(5)
        self.process.kill()
        self.process.join()
        self.connection.close()

    def reason(self) -> str:
        """How the process ended, for people."""
        status = self.process.exitcode or 0
        return f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"

    def _send(self, *message: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # a worker that has died is heard of as such
            self.connection.send(message)


def packed(work: Work) -> bytes:
    """The work as it is sent to each worker.

    Raises
    ------
    UsageError
        If it, or a model or image in it, cannot be pickled.
    """
    try:
        return pickle.dumps(work)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        line = " ".join(str(error).split())
        raise UsageError(f"This cannot be sent to other processes ({line}): use --workers 1") from error


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _with_news(pool: Sequence[_Worker]) -> list[_Worker]:
    """Wait until workers say something or die."""
    # What has died may have said something before; its connection ends after that. A process that it started may
    # hold the connection open, so its death is watched as well.
    waited = {w.connection: w for w in pool} | {w.process.sentinel: w for w in pool}
    ready = {waited[r]: r for r in connection.wait([*waited])}  # type: ignore[index]
    for worker in ready:
        if worker.process.exitcode is not None and not worker.connection.poll():
            worker.connection.close()
    return [*ready]


@contextmanager
def _starting(environment: Mapping[str, str]) -> Iterator[None]:
    """Variables for a process that is started meanwhile, which shall not hear Ctrl-C; what the user has set stays."""
    added = [name for name in environment if name not in os.environ]
    os.environ.update({name: environment[name] for name in added})
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for name in added:
            del os.environ[name]
