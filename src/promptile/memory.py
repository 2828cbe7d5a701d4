"""What was made last, in memory, up to a number of bytes; the least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Anything that knows how much memory it holds."""

    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


class MemoryCache(Generic[T]):
    """A thread-safe cache bounded by bytes.

    Parameters
    ----------
    limit : int
        Bytes to keep at most; the newest value is kept whatever its size.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0
        self._changed = threading.Condition()
        self._in_work: set[Hashable] = set()

    def __contains__(self, key: Hashable) -> bool:
        with self._changed:
            return key in self._values

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made by `make` if it is not here; a thread that asks meanwhile waits for it."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._in_work)
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            self._in_work.add(key)
        try:
            value = make()
            with self._changed:
                self._keep(key, value)
        finally:  # also if it was not made: who waits makes it then
            with self._changed:
                self._in_work.discard(key)
                self._changed.notify_all()
        return value

    def _keep(self, key: Hashable, value: T) -> None:
        self._values[key] = value
        self._bytes += value.nbytes
        while self._bytes > self.limit and len(self._values) > 1:
            _, old = self._values.popitem(last=False)
            self._bytes -= old.nbytes
