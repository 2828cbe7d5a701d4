"""A dask cluster: one that is there, or one of this machine.

Items go in batches to workers that are named: each has two batches in hand, of which one reads while the other
computes. So it is known which items a dead worker had, whatever the scheduler makes of it.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from uuid import uuid4

from promptile.engine.execute import batches
from promptile.engine.execute.processes import THREADS, cores, packed, starting
from promptile.engine.execute.protocol import Item, Outcome, Work
from promptile.engine.execute.rounds import Round
from promptile.errors import UsageError, WorkerError

PATIENCE = 10.0
"""Seconds within which a scheduler answers."""

_ALONE = 60.0
"""Seconds within which a cluster that lost its last worker has another one."""

_LOOK = 1.0
"""Seconds between two looks at which workers are alive."""

_BATCHES = 2
"""Batches that a worker has in hand."""

_LARGEST = 8
"""Items of a batch at most."""


def _gone(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What is raised when the other side is not there any more, and other errors."""
    from distributed.client import ClosedClientError

    return OSError, TimeoutError, CancelledError, ClosedClientError, *others


class Dask:
    """Workers of a dask cluster.

    Parameters
    ----------
    cluster : str or int
        The scheduler's address like ``tcp://host:8786``, whose workers have the same Promptile and see the same
        files; or how many workers to start on this machine.
    """

    def __init__(self, cluster: str | int) -> None:
        self._cluster = cluster
        self.workers = cluster if isinstance(cluster, int) else 1
        self._opened = ExitStack()
        self._client: Any = None

    def __enter__(self) -> Dask:
        try:
            import distributed
        except ModuleNotFoundError as error:
            raise UsageError("A dask cluster needs a package: pip install 'promptile[dask]'") from error
        with ExitStack() as opening:
            address: Any = self._cluster
            if isinstance(self._cluster, int):
                address = opening.enter_context(_local(self._cluster))
            try:
                client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
                self._client = opening.enter_context(client)
                self._client.wait_for_workers(1, timeout=PATIENCE)
                self.workers = len(self._client.nthreads())
            except _gone(ValueError) as error:
                raise WorkerError(
                    f"No dask scheduler with workers answers at {address}: check the address, or start one with"
                    " `dask scheduler` and `dask worker ADDRESS`"
                ) from error
            self._opened = opening.pop_all()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._opened.close()

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[Outcome[Item, Any]]:
        """Outcomes as they come, batch by batch.

        Raises
        ------
        UsageError
            If the work cannot be sent to other processes.
        WorkerError
            If workers cannot begin, or die one after the other without doing anything; if the scheduler ends.
        """
        crew, round_ = _Crew(self._client, packed(work)), Round(items, self.workers)
        try:
            while round_.left:
                for member in crew.look():
                    yield from round_.lose(member.begun, "died")
                # Batches become small in the end, so that no worker has much to do when the others have nothing.
                size = max(1, min(_LARGEST, round_.left // (4 * self.workers)))
                for member in crew.members.values():
                    while len(member.batches) < _BATCHES:
                        numbers = round_.give(member.begun, len(member.begun) + size)
                        if not numbers:
                            break
                        crew.submit(member, [(number, items[number]) for number in numbers])
                for told in crew.news():
                    yield round_.done(*told)
        except _gone() as error:
            raise WorkerError(
                "The dask scheduler ended: start it again, and the run goes on where it stopped"
            ) from error
        finally:
            crew.end()


@dataclass(eq=False)
class _Member:
    """A worker of the cluster, and what it has in hand."""

    address: str
    content: Any
    """The work, which lies at the worker."""
    batches: dict[Any, list[int]] = field(default_factory=dict)
    """Numbers of the items by the future of their batch."""

    @property
    def begun(self) -> list[int]:
        return [number for numbers in self.batches.values() for number in numbers]


class _Crew:
    """All workers that are alive, in one run.

    Parameters
    ----------
    client : distributed.Client
    content : bytes
        The work, pickled.
    """

    def __init__(self, client: Any, content: bytes) -> None:
        self.members: dict[str, _Member] = {}
        self._client = client
        self._content = content
        self._run = uuid4().hex
        self._lost: list[_Member] = []
        self._looked = -_LOOK
        self._met = time.monotonic()

    def look(self) -> list[_Member]:
        """Bring the work to workers that are new; those that were lost since the last look."""
        if self._lost or time.monotonic() - self._looked >= _LOOK:
            alive = self._client.nthreads()
            for address in [*self.members]:
                if address not in alive:
                    self._lose(self.members[address])
            for address in alive:
                if address not in self.members:
                    self._meet(address)
            self._looked = time.monotonic()
        if self.members:
            self._met = time.monotonic()
        elif time.monotonic() - self._met > _ALONE:
            raise WorkerError("The dask cluster has no workers any more: start some with `dask worker ADDRESS`")
        lost, self._lost = self._lost, []
        return lost

    def submit(self, member: _Member, batch: Sequence[tuple[int, Any]]) -> None:
        """Give a worker a batch."""
        future = self._client.submit(
            batches.do, member.content, self._run, batch, workers=[member.address], pure=False, retries=0
        )
        member.batches[future] = [number for number, _ in batch]

    def news(self) -> Iterator[tuple[int, Any, Exception | None]]:
        """Wait a moment; number, what was kept, and error of each item that was done."""
        from distributed import wait

        futures = [future for member in self.members.values() for future in member.batches]
        if not futures:
            time.sleep(_LOOK / 10)
            return
        with (
            self._client.as_current(),
            suppress(TimeoutError, CancelledError),
        ):  # nothing is done yet; a worker was lost, which is seen below
            wait(futures, timeout=_LOOK, return_when="FIRST_COMPLETED")
        for member in [*self.members.values()]:
            for future in [*member.batches]:
                if future.status == "pending":
                    continue
                done = self._result(member, future)
                if done is None:
                    self._lose(member)
                    break
                del member.batches[future]
                yield from map(pickle.loads, done)

    def end(self) -> None:
        """Nothing new is begun, and workers forget the work."""
        with suppress(*_gone()):  # a cluster that is gone has nothing to end
            self._client.cancel([future for member in self.members.values() for future in member.batches])
            self._client.run(batches.end, self._run, on_error="ignore")

    def _meet(self, address: str) -> None:
        with suppress(*_gone()):  # it has died already
            content = self._client.scatter(self._content, workers=[address], hash=False)
            self.members[address] = _Member(address, content)

    def _lose(self, member: _Member) -> None:
        del self.members[member.address]
        self._client.cancel([*member.batches])
        self._lost.append(member)

    def _result(self, member: _Member, future: Any) -> list[bytes] | None:
        """The outcomes of a batch; None if its worker was lost."""
        from distributed import KilledWorker

        while True:
            try:
                done: list[bytes] = future.result(timeout=PATIENCE)
            except TimeoutError:
                if member.address in self._client.nthreads():
                    continue  # slow, not dead
                return None
            except _gone(KilledWorker):
                return None
            except Exception as error:
                raise WorkerError(f"A worker cannot begin: {' '.join(str(error).split())}") from error
            return done


@contextmanager
def _local(workers: int) -> Iterator[Any]:
    """A cluster of this machine."""
    import dask
    from distributed import LocalCluster

    threads = dict.fromkeys(THREADS, str(max(cores() // workers, 1)))
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        # A worker that died is started again by its nanny. The cluster would rather remove one that happens to be
        # away some seconds after an earlier death.
        "distributed.deploy.lost-worker-timeout": "1d",
        # Instead of dask's own variables, of which one gives memory back so eagerly that the built-in model needs half
        # as much time again.
        "distributed.nanny.pre-spawn-environ": threads,
    }
    before = {*os.environ}
    with dask.config.set(settings), _quiet():
        with starting({}):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=_BATCHES,
                processes=True,
                memory_limit=0,
                silence_logs=logging.CRITICAL,  # in the workers
                dashboard_address=":0",
            )
        try:
            yield cluster
        finally:
            cluster.close()
            for name in {*os.environ} - before:  # what is meant for the workers is set in this process as well
                del os.environ[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """What a cluster that lives and dies with us says about its workers is ours to tell."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
