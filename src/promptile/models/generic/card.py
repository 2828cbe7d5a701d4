"""The card of a model in a file: what its networks are called, what they take and what they give."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from promptile.errors import ModelError
from promptile.models.generic.reading import Table, read_table

FITS = ("pad", "stretch", "letterbox")
GIVEN = ("points", "labels", "mask", "has_mask", "size")
"""What a decoder can be given beside what the encoder keeps."""

T = TypeVar("T")
Argument = str | bool | int | float
"""A name of `GIVEN`, ``image``, a name that the encoder keeps something by, or a constant."""


@dataclass(frozen=True)
class Input:
    """What the encoder sees of a window."""

    side: int
    fit: str
    """`pad`: at the upper left, as large as fits; `letterbox`: in the middle; `stretch`: over all of it."""
    white: float
    """Value of white before `mean` and `std`, mostly 1 or 255."""
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Codes:
    """Labels of points in the decoder's words."""

    positive: int
    negative: int
    box: tuple[int, int] | None
    """Of the low and the high corner; None: it takes no boxes."""
    padding: int | None
    """Of a point that is added to points without a box; None: none is."""
    most: int | None
    """So many points are given at most, corners of a box included."""
    axes: int | None
    """Of the points: 3 for ``(1, n, 2)``, 4 for ``(1, 1, n, 2)``; None: as the file says."""


@dataclass(frozen=True)
class Step:
    """The encoder or the decoder."""

    file: Path
    method: str
    """Of a TorchScript file."""
    inputs: tuple[tuple[str, Argument], ...]
    """Each tensor and what it is given; tensors of TorchScript have no names."""
    outputs: tuple[tuple[str, str], ...]
    """Each tensor and what it is."""

    @property
    def scripted(self) -> bool:
        return self.file.suffix != ".onnx"

    def gets(self, what: str) -> bool:
        return any(argument == what for _, argument in self.inputs)


@dataclass(frozen=True)
class Card:
    """All of a card."""

    path: Path
    name: str
    licence: str
    image: Input
    points: Codes
    encoder: Step
    decoder: Step

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of what the encoder keeps of an image."""
        return tuple(what for _, what in self.encoder.outputs)

    def digest(self) -> str:
        """SHA-256 of the card and its files."""
        joined = hashlib.sha256()
        for path in dict.fromkeys((self.path, self.encoder.file, self.decoder.file)):
            with path.open("rb") as file:
                joined.update(hashlib.file_digest(file, "sha256").digest())
        return joined.hexdigest()


def read_card(path: Path) -> Card:
    """The card in a YAML or JSON file.

    Raises
    ------
    ModelError
        If it cannot be read, or anything in it is missing, unknown or impossible.
    """
    table = read_table(path)
    name, licence = table.text("name"), table.text("licence")
    image, points = table.table("image"), table.table("points", {})
    encoder = _step(table.table("encoder"), path, lambda what: what == "image", "image")
    kept = tuple(what for _, what in encoder.outputs)
    possible = f"{', '.join((*GIVEN, *kept))} or a number"
    decoder = _step(table.table("decoder"), path, lambda what: what in (*GIVEN, *kept), possible)
    card = Card(path, name, licence, _input(image), _codes(points), encoder, decoder)
    for part in (table, image, points):
        part.done()
    _check(card)
    return card


def _input(table: Table) -> Input:
    return Input(
        side=table.number("side", least=1, whole=True),
        fit=table.choice("fit", FITS),
        white=table.number("white", 1.0),
        mean=table.numbers("mean", 3, (0.0, 0.0, 0.0)),
        std=table.numbers("std", 3, (1.0, 1.0, 1.0), zero=False),
    )


def _codes(table: Table) -> Codes:
    box = table.numbers("box", 2, None, whole=True)
    return Codes(
        positive=table.number("positive", 1, whole=True),
        negative=table.number("negative", 0, whole=True),
        box=None if box is None else (box[0], box[1]),
        padding=table.number("padding", None, whole=True),
        most=table.number("most", None, least=1, whole=True),
        axes=table.number("axes", None, least=3, most=4, whole=True),
    )


def _step(table: Table, card: Path, known: Callable[[str], bool], possible: str) -> Step:
    file = card.parent / table.text("file")
    scripted = file.suffix != ".onnx"
    method = table.text("method", "forward") if scripted else ""
    inputs, outputs = (table.pairs(key, named=not scripted) for key in ("inputs", "outputs"))
    for name, what in inputs:
        if isinstance(what, str) and not known(what):
            raise table.wrong("inputs", f"{name}: {what}" if name else what, possible)
    table.done()
    if not file.is_file():
        raise table.wrong("file", str(file), "the name of a file beside the card")
    return Step(file, method, inputs, tuple((name, str(what)) for name, what in outputs))


def _check(card: Card) -> None:
    """What only the whole shows."""
    needs: Mapping[str, tuple[Sequence[tuple[str, Any]], Sequence[str]]] = {
        "encoder.inputs": (card.encoder.inputs, ("image",)),
        "decoder.inputs": (card.decoder.inputs, ("points", "labels", *card.kept)),
        "decoder.outputs": (card.decoder.outputs, ("logits", "scores")),
    }
    for key, (pairs, wanted) in needs.items():
        if missing := [name for name in wanted if name not in {what for _, what in pairs}]:
            raise ModelError(f"{card.path}: {key} names no {missing[0]!r}: say which tensor that is")
