"""What the sources say about files that are not as they should be."""

from __future__ import annotations

import logging

logger = logging.getLogger("promptile")


def one_line(error: BaseException) -> str:
    """The message of another library's error without its line breaks and final stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__
