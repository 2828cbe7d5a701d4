"""How many there are of something, in words."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """A number of things, as people say it: ``1 object``, ``2 objects``."""
    return f"{number} {what}{'s' * (number != 1)}"
