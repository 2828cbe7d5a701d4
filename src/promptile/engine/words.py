"""Texts, shares and counts as somebody gave them."""

from __future__ import annotations

import unicodedata
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


def categories_of(given: Any) -> tuple[str, ...]:
    """Texts as categories: such as differ in nothing but case and spaces are one, as it was written first.

    Raises
    ------
    UsageError
        As `words_of`.
    """
    found: dict[str, str] = {}
    for text in words_of(given):
        found.setdefault(sense_of(text), text)
    return tuple(found.values())


def sense_of(text: str) -> str:
    """What a text says, however it is written: models do not tell ``Building`` from ``building``."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def is_share(value: Any) -> bool:
    """Whether it is a number from 0 to 1."""
    return isinstance(value, Real) and 0 <= float(value) <= 1


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
