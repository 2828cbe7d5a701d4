"""Texts, shares and counts as somebody gave them."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from promptile.errors import UsageError


def words_of(given: Any) -> tuple[str, ...]:
    """A text or several, with single spaces between words.

    Raises
    ------
    UsageError
        If one of them is no text, or cannot be written to a file.
    """
    texts = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"A text is words, not {text!r}: give for instance 'building'")
        if not text.isascii() and text.encode(errors="replace") != text.encode(errors="surrogatepass"):
            raise UsageError(f"The text {text!a} is not in UTF-8: write it anew, or set the locale to a UTF-8 one")
    return tuple(" ".join(text.split()) for text in texts)


def is_share(value: Any) -> bool:
    """Whether it is a number from 0 to 1."""
    return isinstance(value, Real) and 0 <= float(value) <= 1


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
