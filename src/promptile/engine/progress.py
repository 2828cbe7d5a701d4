"""How work tells how far it is, and what went wrong, in one line each."""

from __future__ import annotations

import os
from collections.abc import Callable

from promptile.disks import in_words, is_refusal
from promptile.errors import PromptileError

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""


class Cancelled(BaseException):
    """Raised by a progress or a checkpoint to end the work at hand; what is finished stays.

    Like `KeyboardInterrupt` it is no `Exception`, so that no object or tile is taken for one that failed.
    """


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody wants to see."""


def one_line(error: BaseException, place: str | os.PathLike[str] = "") -> str:
    """What an error says, with its type where it is not one of ours, and a cure where a disk is full.

    `place` is where was written, for errors that do not know.
    """
    if isinstance(error, OSError) and is_refusal(error):
        return in_words(error, place)
    text = " ".join(str(error).split())
    return text if isinstance(error, PromptileError) else f"{type(error).__name__}: {text}"
