"""Work over tiles: one after the other, in threads, in processes, or on a dask cluster."""

from promptile.engine.execute.processes import Processes
from promptile.engine.execute.protocol import Executor, Outcome, Work
from promptile.engine.execute.serial import Serial
from promptile.engine.execute.threads import Threads

__all__ = ["Executor", "Outcome", "Processes", "Serial", "Threads", "Work"]
