"""What can be asked of a run that looks for what a text says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from promptile.engine.lattice import Tiling
from promptile.engine.words import categories_of, is_share
from promptile.errors import UsageError
from promptile.models.protocols import ModelCard, Thresholds
from promptile.prompts.area import Area

_DEFAULTS = Thresholds(box=0.3, text=0.25)
"""For detectors that do not say what theirs are."""

_DEEPER = 0.5
"""Detections are kept down to this part of a detector's own threshold, so that another one can be chosen later."""


@dataclass(frozen=True)
class Text:
    """Which objects are wanted, by name, and how they are looked for.

    Parameters
    ----------
    phrases : str or sequence of str
        ``"building"``, ``["building", "swimming pool"]``: each is a category of the result. Those that differ only in
        case or spaces are one, as it was written first.
    box_threshold : float, optional
        Least score of an object, 0 to 1; the detector's own by default.
    text_threshold : float, optional
        Least score of the words of an object, 0 to 1, for detectors that look for words; their own by default. Their
        boxes are as sure as their surest word, so the higher of the two thresholds counts.
    levels : sequence of int, or "auto"
        At which levels to look. ``auto``: from the one that a single window shows whole, down to full resolution.
    area : Area, optional
        Objects are wanted only where their box has its centre in it.
    tiling : Tiling, optional
        Windows of the detector; by default as large as it works best with, sharing a quarter.

    Raises
    ------
    UsageError
        If a phrase is empty or there is none, a threshold is not between 0 and 1, or something is of another kind.
    """

    phrases: str | Sequence[str]
    box_threshold: float | None = None
    text_threshold: float | None = None
    levels: Sequence[int] | Literal["auto"] = "auto"
    area: Area | None = None
    tiling: Tiling | None = None

    def __post_init__(self) -> None:
        phrases = categories_of(self.phrases)
        if not phrases or not all(phrases):
            raise UsageError("A text is empty: say what to look for, for instance --text building")
        object.__setattr__(self, "phrases", phrases)
        for name in ("box_threshold", "text_threshold"):
            value = getattr(self, name)
            if value is not None and not is_share(value):
                raise UsageError(f"--{name.replace('_', '-')} {value} is not possible: use 0 to 1")
        if self.levels != "auto" and (isinstance(self.levels, str) or not isinstance(self.levels, Sequence)):
            raise UsageError(f"Levels {self.levels!r} are no list of levels: use 'auto', or numbers as in [0, 1]")
        for name, kind, how in (("area", Area, "Area.read(...)"), ("tiling", Tiling, "Tiling(800, 200)")):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise UsageError(f"{value!r} is no {name}: give {name}={how}")

    @classmethod
    def of(cls, asked: str | Sequence[str] | Text) -> Text:
        """The wish itself, or one for phrases with nothing else said."""
        return asked if isinstance(asked, Text) else cls(asked)

    def thresholds(self, card: ModelCard) -> Thresholds:
        """What is wanted of a detector; one that does not look for words has no use for theirs."""
        own = card.thresholds or _DEFAULTS
        box = own.box if self.box_threshold is None else float(self.box_threshold)
        text = own.text if self.text_threshold is None or not own.text else float(self.text_threshold)
        return Thresholds(box, text)

    def deepest(self, card: ModelCard) -> Thresholds:
        """What a detector is asked with, so that other thresholds can be chosen later."""
        own, wanted = card.thresholds or _DEFAULTS, self.thresholds(card)
        floor = min(max(wanted.box, wanted.text), _DEEPER * own.box)
        return Thresholds(floor, min(wanted.text, floor))
