"""What objects are called and coloured in files that can say so."""

from __future__ import annotations

import colorsys
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from promptile.measures import measured_columns
from promptile.writers.protocol import Result

_GOLDEN = 0.618033988749895
"""Steps of the golden ratio around the circle of hues never come close to each other."""


@dataclass(frozen=True)
class Segment:
    """An object as other programs show it.

    Parameters
    ----------
    id : int
    name : str
        Its category, with the id where several objects share it; without a category ``object 7``.
    category : str
    colour : tuple of int
        Red, green, blue, 0 to 255: the same for the same category in every file.
    measures : mapping of str to float
        What was measured of it in its image; empty if nothing was.
    """

    id: int
    name: str
    category: str
    colour: tuple[int, int, int]
    measures: Mapping[str, float] = field(default_factory=dict)


def segments_of(result: Result) -> list[Segment]:
    """All objects of a result, by id."""
    objects = result.objects
    ids = [int(n) for n in objects["id"]]
    given = objects["category"] if "category" in objects else [""] * len(ids)
    categories = [c if isinstance(c, str) else "" for c in given]
    uses = Counter(categories)
    measures = objects[measured_columns(objects)].to_dict("records") if len(objects) else []
    return [
        Segment(
            number,
            _name(number, category, uses[category]),
            category,
            _colour(number, category, uses[category]),
            {str(name): float(value) for name, value in measured.items() if value == value},
        )
        for number, category, measured in zip(ids, categories, measures, strict=True)
    ]


def _name(number: int, category: str, uses: int) -> str:
    if not category:
        return f"object {number}"
    return category if uses == 1 else f"{category} {number}"


def _colour(number: int, category: str, uses: int) -> tuple[int, int, int]:
    """A hue per category; objects of one category differ in lightness, and those without one in hue."""
    hue = (zlib.crc32(category.encode()) if category else number) * _GOLDEN % 1
    light = 0.95 if uses == 1 or not category else 0.6 + 0.4 * (number * _GOLDEN % 1)
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.65, light))
    return red, green, blue
