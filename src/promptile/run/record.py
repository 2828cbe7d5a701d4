"""What a run knows of each object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Record:
    """What a run knows of one object beside its mask.

    Parameters
    ----------
    id : int
    category : str
    prompt : str
        What the prompt was made of, like ``box+points``.
    score : float
        The model's own guess of the mask's quality.
    bbox : tuple of tuples of int
        First sample and the one after the last, in index coordinates.
    count : int
        Number of samples.
    measures : mapping of str to float
        Ground area in m², volume in mm³, or counts.
    tiles : int
        Windows that answered.
    touches_edge, open_edge : bool
        Whether the object reaches the image's border; whether it ends where two answers disagreed.
    error : str
        Why there is no answer; empty if there is one.
    version : int
        Which of the object's masks it is about: one that is painted on gets another mask.
    detection : float, optional
        How sure a detector was that it is what its category says; None if none was asked.
    rank_score : float, optional
        How much better the best text describes it than others, 0 to 1; None if it was not compared with texts.
    """

    id: int
    category: str
    prompt: str
    score: float = 0.0
    bbox: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    count: int = 0
    measures: Mapping[str, float] | None = None
    tiles: int = 0
    touches_edge: bool = False
    open_edge: bool = False
    error: str = ""
    version: int = 1
    detection: float | None = None
    rank_score: float | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Record:
        """The record that `to_json` gave, also after a way through a file."""
        first, last = stored["bbox"]
        return cls(**{**stored, "bbox": (tuple(first), tuple(last))})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_row(self) -> dict[str, Any]:
        """The record as a row of the table of objects."""
        row = asdict(self)
        measures = row.pop("measures") or {}
        del row["error"], row["count"], row["version"]
        for optional in ("detection", "rank_score"):
            if row[optional] is None:
                del row[optional]
        row["bbox"] = [*self.bbox[0], *self.bbox[1]]
        return {"id": row.pop("id"), "category": row.pop("category"), "score": row.pop("score")} | measures | row


@dataclass(frozen=True)
class Failure:
    """An object or a tile that has no answer.

    Parameters
    ----------
    kind : str
        ``object`` or ``tile``.
    id : int or tuple of int
        The object's id, or the tile's position among the tiles.
    error : str
        Why, in one line.
    """

    kind: Literal["object", "tile"]
    id: int | tuple[int, ...]
    error: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
