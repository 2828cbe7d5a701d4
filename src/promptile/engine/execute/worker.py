"""What runs inside a worker process: items in, outcomes out.

::

    caller                                  worker
    ("work", run, pickled)    ──────────►   unpickled once per run
    ("item", number, item)    ──────────►   read ahead, computed, written behind
                              ◄──────────   ("done", run, told)
    ("stop",)                 ──────────►   nothing new of this run is begun
    ("end",)                  ──────────►   the process ends
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any

from promptile.engine.execute.protocol import Work, outcome
from promptile.engine.execute.threads import flow
from promptile.errors import WorkerError

Numbered = tuple[int, Any]
"""An item with its number in the run."""


def serve(connection: Connection) -> None:
    """Do what comes over the connection, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; what follows is the caller's choice
    desk = _Desk(connection)
    desk.send("ready")
    while (run := desk.runs.get()) is not None:
        try:
            work = pickle.loads(run.content)
        except Exception as error:
            desk.send("refused", run.number, _sendable(error))
            continue
        _do(run, OnNumbered(work), desk)
        del work  # what it opened is closed before the next one


def told(number: int, written: Future[Any]) -> bytes:
    """What became of an item, ``(number, kept, error)``, pickled."""
    try:
        done = outcome(number, written.result)
    except BaseException:  # a step that ends the thread that it runs in: an item must not vanish with it
        os._exit(1)
    error = None if done.error is None else _sendable(done.error)
    try:
        return pickle.dumps((number, done.kept, error))
    except (TypeError, AttributeError, pickle.PicklingError) as unsent:
        return pickle.dumps((number, None, _sendable(unsent)))


def _sendable(error: Exception) -> Exception:
    """The error itself if it survives being pickled, else its text."""
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a constructor raises
        return WorkerError(f"{type(error).__name__}: {' '.join(str(error).split())}")
    return error if isinstance(again, type(error)) else WorkerError(str(error))


@dataclass(eq=False)
class _Run:
    """What is to be done at present."""

    number: int
    content: bytes
    items: SimpleQueue[Numbered | None] = field(default_factory=SimpleQueue)
    stopped: bool = False

    def take(self, wait: bool) -> Sequence[Numbered]:
        try:
            item = self.items.get(block=wait)
        except Empty:
            return []
        return [] if item is None or self.stopped else [item]


class _Desk:
    """Both ways of the connection. A thread receives, so that a stop is known at once."""

    def __init__(self, connection: Connection) -> None:
        self.runs: SimpleQueue[_Run | None] = SimpleQueue()
        self._connection = connection
        self._sending = threading.Lock()
        threading.Thread(target=self._receive, name="promptile-receive", daemon=True).start()

    def send(self, *message: Any) -> None:
        with self._sending:
            try:
                self._connection.send(message)
            except OSError:
                os._exit(1)  # the caller is gone: nobody wants what is being computed

    def tell(self, run: int, number: int, written: Future[Any]) -> None:
        """Send what became of an item."""
        self.send("done", run, told(number, written))

    def _receive(self) -> None:
        run = _Run(0, b"")
        while True:
            try:
                kind, *content = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)  # the caller is gone
            except Exception:  # what an item raises that this process does not know
                traceback.print_exc()
                os._exit(1)
            if kind == "work":
                run = _Run(*content)
                self.runs.put(run)
            elif kind == "item":
                run.items.put((content[0], content[1]))
            else:
                run.stopped = True
                run.items.put(None)
            if kind == "end":
                return self.runs.put(None)


@dataclass(frozen=True)
class OnNumbered:
    """Work on numbered items."""

    work: Work

    def read(self, item: Numbered) -> Any:
        return self.work.read(item[1])

    def compute(self, item: Numbered, seen: Any) -> Any:
        return self.work.compute(item[1], seen)

    def write(self, item: Numbered, answer: Any) -> Any:
        return self.work.write(item[1], answer)


def _do(run: _Run, work: Work, desk: _Desk) -> None:
    with closing(flow(work, run.take)) as flowing:
        for (number, _), written in flowing:
            # Told as soon as it is written, so that the next item comes while this thread computes.
            written.add_done_callback(partial(desk.tell, run.number, number))
            if run.stopped:
                return
