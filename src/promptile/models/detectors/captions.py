"""Captions: phrases in one text that Grounding DINO reads, and which of its tokens belong to which phrase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from promptile.errors import ModelError
from promptile.models.snapshots import Snapshot

_SEPARATORS = str.maketrans(".?", "  ")
"""Signs at which the network parts phrases."""
_FRAME = 2
"""Tokens around a caption."""


@dataclass(frozen=True, eq=False)
class Caption:
    """Some of the phrases, in one text."""

    ids: Tensor
    """``(1, tokens)``"""
    phrases: tuple[int, ...]
    """Which of all phrases these are."""
    tokens: tuple[tuple[int, ...], ...]
    """Of each of these."""


def captions_of(phrases: Sequence[str], snapshot: Snapshot, length: int) -> list[Caption]:
    """Captions of at most `length` tokens that hold all phrases in their order, like ``a ship. a pool.``.

    Raises
    ------
    ModelError
        If a phrase says nothing or is too long by itself.
    """
    texts = [_plain(phrase) for phrase in phrases]
    return [
        _caption(members, texts, snapshot)
        for members in _grouped(texts, lambda text: len(snapshot.spans(f"{text}.")[1]) - _FRAME, length - _FRAME)
    ]


def _plain(phrase: str) -> str:
    """A phrase in lower case, without signs that would part it."""
    text = " ".join(phrase.lower().translate(_SEPARATORS).split())
    if not text:
        raise ModelError(f"The text {phrase!r} says nothing that could be looked for: give a word")
    return text


def _grouped(texts: Sequence[str], size: Callable[[str], int], room: int) -> list[list[int]]:
    """Numbers of texts that fit into a caption together."""
    groups: list[list[int]] = []
    left = 0
    for i, text in enumerate(texts):
        needed = size(text)
        if needed > room:
            raise ModelError(
                f"The text {text!r} has {needed} tokens, and the model reads {room}: say it in fewer words"
            )
        if needed > left:
            groups.append([])
            left = room
        groups[-1].append(i)
        left -= needed
    return groups


def _caption(members: Sequence[int], texts: Sequence[str], snapshot: Snapshot) -> Caption:
    text, places = "", []
    for i in members:
        text += " " if text else ""
        places.append((len(text), len(text) + len(texts[i])))
        text += f"{texts[i]}."
    ids, spans = snapshot.spans(text)
    tokens = tuple(
        tuple(k for k, (first, last) in enumerate(spans) if start <= first < last <= stop) for start, stop in places
    )
    return Caption(ids, tuple(members), tokens)
