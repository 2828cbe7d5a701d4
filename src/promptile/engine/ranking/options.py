"""What objects may be called, and how sure a ranker must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptile.engine.words import categories_of, is_share, sense_of, words_of
from promptile.errors import UsageError

RANKER = "clip-b32"
"""What compares objects with texts, if nothing else is said."""
BACKGROUND = "background"
"""What objects are compared with beside the phrases, if nothing else is said."""
THRESHOLD = 0.5


@dataclass(frozen=True)
class Phrases:
    """Categories by name.

    Parameters
    ----------
    texts : str or sequence of str
        ``["building", "tree"]``: each is a category. Those that differ only in case or spaces are one, as it was
        written first.
    background : str
        What is none of them: an object that it describes best has no category. Empty: all are one of the texts.
    threshold : float
        An object's share of the best text, 0 to 1 in a softmax over all, must be at least this.

    Raises
    ------
    UsageError
        If a text is empty or there is none, or the threshold is not between 0 and 1.
    """

    texts: str | Sequence[str]
    background: str = BACKGROUND
    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        texts = categories_of(self.texts)
        if not texts or not all(texts):
            raise UsageError("A text is empty: say what objects may be, for instance --text building")
        background = words_of(self.background)
        if len(background) != 1:
            raise UsageError(f"A background is one text, not {self.background!r}: give for instance 'background'")
        if sense_of(background[0]) in map(sense_of, texts):
            raise UsageError(f"{background[0]!r} is a text and the background: say something else with --background")
        object.__setattr__(self, "texts", texts)
        object.__setattr__(self, "background", background[0])
        if not is_share(self.threshold):
            raise UsageError(f"A threshold of {self.threshold} is not possible: use 0 to 1")

    @property
    def all(self) -> tuple[str, ...]:
        """The texts, and after them the background."""
        return (*self.texts, *([self.background] if self.background else []))

    def to_json(self) -> dict[str, Any]:
        return {"texts": list(self.texts), "background": self.background, "threshold": self.threshold}
