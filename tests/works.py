"""Work for executors: importable by the processes that do it, and written down step by step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from promptile.errors import SourceError


class NotSendable(Exception):
    """Cannot be pickled."""

    def __init__(self, text: str, item: int) -> None:
        super().__init__(f"{text}\n{item}")
        self.lock = threading.Lock()


class NotReadable(Exception):
    """Can be pickled, but not read again: a constructor with two arguments and one text."""

    def __init__(self, text: str, item: int) -> None:
        super().__init__(f"{text} {item}")


@dataclass(frozen=True)
class Noted:
    """Writes ``folder/ITEM.npy``; notes each step in ``folder/notes``.

    `trouble` says what happens at an item: ``read``, ``compute``, ``write`` fail there; ``kill once`` and
    ``kill`` end the process; ``not sendable`` and ``not readable`` raise those.
    """

    folder: Path
    trouble: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    @cached_property
    def opened(self) -> int:
        """What is opened once per worker and run."""
        self.note("open", os.getpid())
        return os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "opened"}

    def note(self, step: str, item: int) -> None:
        line = f"{step} {item}\n".encode()
        file = os.open(self.folder / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line)
        os.close(file)

    def read(self, item: int) -> np.ndarray:
        self.note("read", item)
        self._fail(item, "read")
        return np.full((100, 100), item, np.int64)

    def compute(self, item: int, seen: np.ndarray) -> np.ndarray:
        assert self.opened == os.getpid()
        self.note("compute", item)
        time.sleep(self.seconds)
        self._kill(item)
        self._fail(item, "compute")
        return seen**2

    def write(self, item: int, answer: np.ndarray) -> int:
        self._fail(item, "write")
        temporary = self.folder / f"{item}.{os.getpid()}.part"
        temporary.write_bytes(answer.tobytes())
        temporary.replace(self.folder / f"{item}.npy")
        self.note("write", item)
        return int(answer[0, 0])

    def _fail(self, item: int, step: str) -> None:
        what = self.trouble.get(item)
        if what == step:
            raise SourceError(f"{step} of {item} fails")
        if step == "compute" and what == "not sendable":
            raise NotSendable("this one stays", item)
        if step == "compute" and what == "not readable":
            raise NotReadable("this one too", item)

    def _kill(self, item: int) -> None:
        what = self.trouble.get(item, "")
        if what == "kill" or (what == "kill once" and self.notes()[f"compute {item}"] == 1):
            os.kill(os.getpid(), signal.SIGKILL)

    def notes(self) -> Counter[str]:
        """How often each step was begun (``write``: ended)."""
        return Counter(self.lines())

    def lines(self) -> list[str]:
        """All notes, in order."""
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def content(self) -> dict[str, bytes]:
        """What was written."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("*.npy"))}

    def most_in_flight(self) -> int:
        """How many items were begun and not yet written, at most."""
        now = most = 0
        for line in self.lines():
            now += line.startswith("read") - line.startswith("write")
            most = max(most, now)
        return most


class Stubborn(Noted):
    """Cannot be sent to another process."""

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("cannot pickle 'Stubborn' object")


class Lost(Noted):
    """Cannot be received by another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _only_here, (os.getpid(), self.folder)


def _only_here(process: int, folder: Path) -> Lost:
    if os.getpid() != process:
        raise SourceError(f"{folder.name} is not here")
    return Lost(folder)


class Threading:
    """Says how many threads numerical libraries may use."""

    def read(self, item: int) -> int:
        return item

    def compute(self, item: int, seen: int) -> tuple[str | None, str | None, int]:
        import numba

        time.sleep(0.05)
        return os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS"), numba.get_num_threads()

    def write(self, item: int, answer: object) -> object:
        return answer
