"""Reading ahead and writing behind, so that the model need not wait for the disk.

::

    reader thread     read 3      read 4      read 5
    caller        compute 1 | compute 2 | compute 3 |
    writer thread      write 0     write 1     write 2
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import islice
from types import TracebackType
from typing import Any

from promptile.engine.execute.protocol import Item, Outcome, Work, outcome

AHEAD = 2
"""How many items are read, or being read, beside the one that is computed."""

BEHIND = 2
"""How many answers are being written, or wait for it."""

Take = Callable[[bool], Sequence[Item]]
"""The next item, as a sequence of one. None there: an empty one, at once (False), or when there will be none (True)."""


class Threads:
    """The caller's thread computes; one thread reads ahead, another one writes behind.

    At most `AHEAD` + 1 + `BEHIND` items are in memory.
    """

    workers = 1

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None: ...

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[Outcome[Item, Any]]:
        """Outcomes in the order of `items`; the threads live as long as the iterator."""
        rest = iter(items)
        told: deque[tuple[Item, Future[Any]]] = deque()
        with closing(flow(work, lambda _: [*islice(rest, 1)])) as flowing:
            for computed in flowing:
                told.append(computed)
                while told and told[0][1].done():
                    item, written = told.popleft()
                    yield outcome(item, written.result)
        for item, written in told:
            yield outcome(item, written.result)


def flow(work: Work, take: Take[Item]) -> Generator[tuple[Item, Future[Any]], None, None]:
    """Read ahead, compute in the caller's thread, write behind.

    Yields
    ------
    item, future
        As soon as the item is computed; the future is what `Work.write` returns. When the iterator ends or is
        closed, all of them are done.
    """
    reading: deque[tuple[Item, Future[Any]]] = deque()
    writing: deque[Future[Any]] = deque()
    reader = ThreadPoolExecutor(1, "promptile-read")
    writer = ThreadPoolExecutor(1, "promptile-write")
    try:
        while True:
            while len(reading) <= AHEAD and (taken := take(not reading)):
                reading.append((taken[0], reader.submit(work.read, taken[0])))
            if not reading:
                return
            while len(writing) >= BEHIND:
                wait([writing.popleft()])
            item, seen = reading.popleft()
            written = _compute(work, item, seen, writer)
            del seen  # what was read need not stay while the caller looks at the outcome
            writing.append(written)
            yield item, written
    finally:
        reader.shutdown(cancel_futures=True)
        writer.shutdown()  # what was computed is worth keeping


def _compute(work: Work, item: Item, seen: Future[Any], writer: ThreadPoolExecutor) -> Future[Any]:
    """Wait for what was read, compute, and hand the answer to the writer."""
    try:
        answer = work.compute(item, seen.result())
    except Exception as error:
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed
    return writer.submit(work.write, item, answer)
