"""Categories as a session writes them."""

from __future__ import annotations

from collections.abc import Iterable

from promptile.engine.words import sense_of
from promptile.errors import UsageError


class Categories:
    """The categories of objects: such as differ in nothing but case and spaces are one, as it was written first.

    Parameters
    ----------
    known : iterable of str
        Those that there are, the first ones first.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._written: dict[str, str] = {}
        for category in dict.fromkeys(known):
            self._written.setdefault(sense_of(category), category)

    def __getitem__(self, category: str) -> str:
        """A category as it is written here; if it is new, as it is given from now on.

        Raises
        ------
        UsageError
            If no file could hold it.
        """
        if not isinstance(category, str) or any("\ud800" <= letter <= "\udfff" for letter in category):
            raise UsageError(f"{category!r} is no category: give a text")
        return self._written.setdefault(sense_of(category), " ".join(category.split()))
