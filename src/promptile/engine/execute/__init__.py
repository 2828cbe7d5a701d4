"""Work over tiles: one after the other, in threads, in processes, or on a dask cluster."""

from __future__ import annotations

from promptile.engine.execute.cluster import Dask
from promptile.engine.execute.processes import Processes
from promptile.engine.execute.protocol import Executor, Outcome, Work
from promptile.engine.execute.serial import Serial
from promptile.engine.execute.threads import Threads
from promptile.errors import UsageError

__all__ = ["Dask", "Executor", "Outcome", "Processes", "Serial", "Threads", "Work", "choose"]

LOCAL = "local"

MOST = 256
"""Workers on one machine; more are a mistake in typing."""


def choose(workers: int = 1, scheduler: str | None = None) -> Executor:
    """The executor that was asked for.

    Parameters
    ----------
    workers : int
        1 works in this process, more in as many others.
    scheduler : str, optional
        A dask scheduler's address, or ``local`` for a dask cluster of `workers` on this machine.

    Raises
    ------
    UsageError
        If there are no workers, or a number of workers is asked of a cluster that has its own.
    """
    if workers > MOST:
        raise UsageError(f"{workers} workers are more than this machine can start: use up to {MOST}")
    if workers < 1:
        raise UsageError(f"{workers} workers do nothing: use --workers 1 or more")
    if scheduler == LOCAL:
        return Dask(workers)
    if scheduler is not None:
        if workers > 1:
            raise UsageError(f"The cluster at {scheduler} has its own workers: leave --workers out")
        if "://" not in scheduler:
            raise UsageError(f"{scheduler!r} is no scheduler: use --scheduler tcp://HOST:8786, or `{LOCAL}`")
        return Dask(scheduler)
    return Threads() if workers == 1 else Processes(workers)
