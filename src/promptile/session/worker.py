"""One thread that does all the work, so that a window never waits.

Orders are carried out one after the other. A preview that waits is replaced by a newer one, and one that is computed
is given up for it. Long work goes on in the background: between two tiles it lets orders and previews go first::

    said        click  click  click  accept         click
    background  ===+                 +==+           +====
    previews       | 1 given up, 3 | |  |  preview  |
    orders                           accept
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from promptile.engine.progress import Cancelled

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
            while (urgent := self._take(("order",))) is not None:
                self._do(urgent)
                self._end_if_unwanted()

    def close(self, patience: float = 10.0) -> bool:
        """End what can be ended, carry out the orders that wait, and stop; whether that was done in time."""
        with self._changed:
            self._closed = True
            for ticket in [*self._running, *self._waiting["background"], *self._waiting["idle"]]:
                if ticket.kind != "order":
                    ticket.cancel()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _ask(self, ticket: Ticket[T]) -> Ticket[T]:
        with self._changed:
            if self._closed:
                ticket.cancel()
                return ticket
            queue = self._waiting["order" if ticket.kind == "preview" else ticket.kind]
            if ticket.kind == "idle":
                queue.clear()
            if ticket.kind == "preview":
                if queue and queue[-1].kind == "preview":
                    queue.pop().cancel()
                elif not queue and self._running and self._running[-1].kind == "preview":
                    self._running[-1].cancel()
            if ticket.kind != "idle" and self._running and self._running[-1].kind == "idle":
                self._running[-1].cancel()
            queue.append(ticket)
            self._changed.notify_all()
        return ticket

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or any(self._waiting.values()))
            ticket = self._take(("order", "background", "idle"))
            if ticket is None:
                if self._closed:
                    return
            else:
                self._do(ticket)

    def _take(self, kinds: tuple[Kind, ...]) -> Ticket[Any] | None:
        """The next ticket, which counts as running from now on; None if nothing waits."""
        with self._changed:
            for kind in kinds:
                while self._waiting[kind]:
                    ticket = self._waiting[kind].popleft()
                    if not ticket.cancelled:
                        self._running.append(ticket)
                        return ticket
                    self._deliver(ticket.ended)
            return None

    def _do(self, ticket: Ticket[Any]) -> None:
        try:
            given = ticket.work()
        except Cancelled:
            self._deliver(ticket.ended)
        except Exception as error:  # told where the asking was done; the thread lives on
            failure = error
            self._deliver(lambda: ticket.failed(failure))
        else:
            self._deliver(lambda: ticket.done(given))
        finally:
            with self._changed:
                self._running.pop()

    def _end_if_unwanted(self) -> None:
        if self._running and self._running[-1].cancelled:
            raise Cancelled
