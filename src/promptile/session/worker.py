"""One thread that does all the work, so that a window never waits.

Orders are carried out one after the other. A preview that waits is replaced by a newer one, and one that is computed
is given up for it. Long work goes on in the background: between two tiles it lets orders and previews go first::

    said        click  click  click  accept         click
    background  ===+                 +==+           +====
    previews       | 1 given up, 3 | |  |  preview  |
    orders                           accept
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from promptile.engine.progress import Cancelled

_log = logging.getLogger("promptile")

T = TypeVar("T")

Deliver = Callable[[Callable[[], None]], None]
"""Has something called in the thread that asked, such as the one of a window."""

Kind = Literal["order", "preview", "background", "idle"]


@dataclass(eq=False)
class Ticket(Generic[T]):
    """Work that was asked for.

    Parameters
    ----------
    work : callable
        Called in the worker's thread.
    done : callable
        Called with what it gave, where the asking was done.
    failed : callable
        Called with the exception that it raised instead.
    ended : callable
        Called if it was cancelled instead.
    """

    kind: Kind
    work: Callable[[], T]
    done: Callable[[T], None]
    failed: Callable[[Exception], None]
    ended: Callable[[], None] = lambda: None
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Do not begin it, or end it at the next checkpoint."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()


class Worker:
    """A thread that owns a model.

    Parameters
    ----------
    deliver : callable
        Has the outcome told in the thread that asked; by default it is told in the worker's own.
    """

    def __init__(self, deliver: Deliver = lambda call: call()) -> None:
        self._deliver = deliver
        self._waiting: dict[Kind, deque[Ticket[Any]]] = {k: deque() for k in ("order", "background", "idle")}
        self._changed = threading.Condition()
        self._running: list[Ticket[Any]] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="promptile-worker", daemon=True)
        self._thread.start()

    def order(self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]) -> Ticket[T]:
        """Work that is always done, after what was asked before it."""
        return self._ask(Ticket("order", work, done, failed))

    def preview(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> Ticket[T]:
        """Work of which only the newest counts; what was ordered between two previews still gets the older one."""
        return self._ask(Ticket("preview", work, done, failed))

    def background(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
        ended: Callable[[], None],
    ) -> Ticket[T]:
        """Long work, which calls `checkpoint` often."""
        return self._ask(Ticket("background", work, done, failed, ended))

    def idle(self, work: Callable[[], Any]) -> None:
        """Work that is done if there is nothing else to do, such as looking ahead; only the newest counts."""
        self._ask(Ticket("idle", work, lambda _: None, lambda _: None))

    @property
    def busy(self) -> bool:
        """Whether something is being done, or waits."""
        with self._changed:
            return bool(self._running or any(self._waiting.values()))

    def checkpoint(self) -> None:
        """Called by work between two tiles: lets what is urgent go first, and ends what is not wanted any more.

        Raises
        ------
        Cancelled
            If the work at hand is to end.
        """
        if threading.current_thread() is not self._thread or not self._running:
            return
        self._end_if_unwanted()
        if self._running[-1].kind == "background":
            while self._do_next("order"):
                self._end_if_unwanted()

    def close(self, patience: float = 10.0) -> bool:
        """End what can be ended, carry out the orders that wait, and stop; whether that was done in time.

        What an order that waits is about, the preview before it, is computed for it.
        """
        with self._changed:
            self._closed = True
            for queue in (self._waiting["background"], self._waiting["idle"]):
                for ticket in queue:
                    ticket.cancel()
            wanted = False
            for ticket in [*reversed(self._waiting["order"]), *reversed(self._running)]:
                wanted = ticket.kind == "order" or (wanted and ticket.kind == "preview")
                if not wanted:
                    ticket.cancel()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _ask(self, ticket: Ticket[T]) -> Ticket[T]:
        with self._changed:
            if not self._closed:
                self._enqueue(ticket)
                self._changed.notify_all()
                return ticket
        ticket.cancel()
        self._tell(ticket.ended)
        return ticket

    def _enqueue(self, ticket: Ticket[Any]) -> None:
        queue = self._waiting["order" if ticket.kind == "preview" else ticket.kind]
        running = self._running[-1] if self._running else None
        if ticket.kind == "idle":
            queue.clear()
        if ticket.kind == "preview" and queue and queue[-1].kind == "preview":
            queue.pop().cancel()
        if running is not None and (running.kind == "idle" or _replaces(ticket, running, queue)):
            running.cancel()
        queue.append(ticket)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or any(self._waiting.values()))
                if not any(self._waiting.values()):
                    return
            self._do_next("order", "background", "idle")

    def _do_next(self, *kinds: Kind) -> bool:
        """Do what waits first; whether anything of these kinds did."""
        with self._changed:
            queue = next((self._waiting[kind] for kind in kinds if self._waiting[kind]), None)
            if queue is None:
                return False
            ticket = queue.popleft()
            self._running.append(ticket)
        try:
            self._tell(self._outcome(ticket))
        finally:
            with self._changed:
                self._running.pop()
        return True

    def _outcome(self, ticket: Ticket[T]) -> Callable[[], None]:
        """Do the work; what is to be called with what came of it."""
        try:
            if ticket.cancelled:
                return ticket.ended
            given = ticket.work()
        except Cancelled:
            return ticket.ended
        except Exception as error:  # told where the asking was done; the thread lives on
            return partial(ticket.failed, error)
        return partial(ticket.done, given)

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            self._deliver(call)
        except Exception:  # who was told has failed: others still want to be served
            _log.exception("An outcome could not be told")

    def _end_if_unwanted(self) -> None:
        if self._running and self._running[-1].cancelled:
            raise Cancelled


def _replaces(ticket: Ticket[Any], running: Ticket[Any], queue: deque[Ticket[Any]]) -> bool:
    """Whether a preview takes the place of the one at work: not if an order that waits is about that one."""
    return ticket.kind == running.kind == "preview" and not queue
