"""Embeddings that were made are kept, up to a number of bytes; the least recently used go first."""

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
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made by `make` if it is not here. Two threads may make the same value once each."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._bytes += value.nbytes
            while self._bytes > self.limit and len(self._values) > 1:
                _, old = self._values.popitem(last=False)
                self._bytes -= old.nbytes
        return value
