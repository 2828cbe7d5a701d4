"""A pool of processes for models that run on the CPU.

Processes are spawned: a fork would copy locks that threads of GDAL, Zarr, numba or torch hold.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context
from types import TracebackType
from typing import Any

from promptile.engine.execute.protocol import Item, Outcome, Work
from promptile.engine.execute.rounds import Round
from promptile.engine.execute.worker import serve
from promptile.errors import UsageError, WorkerError

IN_FLIGHT = 3
"""Items that a worker has at a time: one is computed, one is read, one is on its way."""

_SPAWN = get_context("spawn")
THREADS = (
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
        self._run = 0

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
        content, round_ = packed(work), Round(items, self.workers)
        self._run += 1
        try:
            while round_.left:
                for worker in self._crew(content):
                    for number in round_.give(worker.begun, IN_FLIGHT):
                        worker.do(number, items[number])
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

    def _crew(self, content: bytes) -> list[_Worker]:
        """All workers, the dead ones replaced; each has the work."""
        self._fill()
        for worker in self._pool:
            if worker.run != self._run:
                worker.begin(self._run, content)
        return self._pool

    def _stop(self) -> None:
        for worker in self._pool:
            worker.stop()

    def _abandon(self) -> None:
        """End all workers, whatever they do: answers are written whole or not at all."""
        for worker in self._pool:
            worker.abandon()
        self._pool.clear()

    def _hear(self, worker: _Worker, round_: Round[Item]) -> Iterator[Outcome[Item, Any]]:
        """What a worker says; or that it has died."""
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._lose(worker, round_)
            return
        worker.ready = True
        if kind == "refused" and content[0] == self._run:
            raise WorkerError(f"A worker cannot begin: {content[1]}") from content[1]
        if kind == "done" and content[0] == self._run:
            number, kept, error = pickle.loads(content[1])
            worker.begun.remove(number)
            yield round_.done(number, kept, error)

    def _lose(self, worker: _Worker, round_: Round[Item]) -> Iterator[Outcome[Item, Any]]:
        worker.abandon()
        self._pool.remove(worker)
        if not worker.ready:
            raise WorkerError(
                f"A worker {worker.reason()} before it began: a script that uses workers runs"
                ' under `if __name__ == "__main__":`'
            )
        return round_.lose(worker.begun, worker.reason())


class _Worker:
    """One process, seen from outside."""

    def __init__(self, threads: int) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=serve, args=(theirs,), name="promptile-worker", daemon=True)
        self.run = 0
        self.begun: set[int] = set()
        """Numbers of the items that it has in hand."""
        self.ready = False
        with starting(dict.fromkeys(THREADS, str(threads))):
            self.process.start()
        theirs.close()  # so that the connection ends when the process does

    def begin(self, run: int, content: bytes) -> None:
        self.run = run
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
def starting(environment: Mapping[str, str]) -> Iterator[None]:
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
