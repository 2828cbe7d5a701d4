"""Tables of a card, read key by key; whatever is wrong is said with the key, what was got and what is possible."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptile.errors import ModelError

_NEEDED: Any = object()


def read_table(path: Path) -> Table:
    """The table in a YAML or JSON file.

    Raises
    ------
    ModelError
        If there is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ModelError(f"The card {path} cannot be read: {reason}") from error
    content = _json(text, path) if path.suffix == ".json" else _yaml(text, path)
    if not isinstance(content, dict):
        raise ModelError(f"The card {path} is {_kind(content)}, not a table of keys: see docs/runtimes.md")
    return Table(path, "", content)


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ModelError(f"The card {path} is no JSON in line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise _too_deep(path) from error


def _yaml(text: str, path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ModelError(f"The card {path} needs {error.name}: pip install 'promptile[onnx]'") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" in line {mark.line + 1}"
        raise ModelError(f"The card {path} is no YAML{line}: {getattr(error, 'problem', error)}") from error
    except RecursionError as error:
        raise _too_deep(path) from error


def _too_deep(path: Path) -> ModelError:
    return ModelError(f"The card {path} has tables in tables without end: see docs/runtimes.md for what a card is")


class Table:
    """A table of a card.

    Parameters
    ----------
    path : path
        Of the card.
    name : str
        Of the table, with those that it is in; empty for the whole card.
    content : dict
    """

    def __init__(self, path: Path, name: str, content: dict[Any, Any]) -> None:
        self._path = path
        self._name = name
        self._content = content
        self._asked: list[str] = []

    def wrong(self, key: str, got: Any, possible: str) -> ModelError:
        """The error about a key."""
        return ModelError(f"{self._path}: {self._full(key)} is {got!r}: use {possible}")

    def done(self) -> None:
        """Every key that is there has been asked for."""
        unknown = [key for key in self._content if key not in self._asked]
        if unknown:
            known = ", ".join(self._asked)
            raise ModelError(f"{self._path}: {self._full(unknown[0])} is unknown: there are {known}")

    def table(self, key: str, default: Any = _NEEDED) -> Table:
        value = self._value(key, default, "a table of keys")
        if not isinstance(value, dict):
            raise self.wrong(key, value, "a table of keys")
        return Table(self._path, self._full(key), value)

    def text(self, key: str, default: Any = _NEEDED) -> str:
        value = self._value(key, default, "a text")
        if not isinstance(value, str) or not value:
            raise self.wrong(key, value, "a text")
        return value

    def choice(self, key: str, possible: Sequence[str]) -> str:
        value = self._value(key, _NEEDED, " or ".join(possible))
        if value not in possible:
            raise self.wrong(key, value, f"{', '.join(possible[:-1])} or {possible[-1]}")
        return str(value)

    def number(
        self,
        key: str,
        default: Any = _NEEDED,
        *,
        least: float | None = None,
        most: float | None = None,
        whole: bool = False,
    ) -> Any:
        low = "" if least is None else f" from {least}"
        high = "" if most is None else f" to {most}"
        possible = f"a{' whole' * whole} number{low}{high}"
        value = self._value(key, default, possible)
        if value is None and default is None:
            return None
        if not _is_number(value, whole=whole):
            raise self.wrong(key, value, possible)
        if (least is not None and value < least) or (most is not None and value > most):
            raise self.wrong(key, value, possible)
        return value

    def numbers(self, key: str, count: int, default: Any, *, whole: bool = False, zero: bool = True) -> Any:
        possible = f"a list of {count}{' whole' * whole} numbers{'' if zero else ' other than 0'}"
        value = self._value(key, default, possible)
        if value is None and default is None:
            return None
        right = isinstance(value, list | tuple) and len(value) == count
        if not right or not all(_is_number(n, whole=whole) and (zero or n) for n in value):
            raise self.wrong(key, value, possible)
        return tuple(value)

    def pairs(self, key: str, *, named: bool) -> tuple[tuple[str, Any], ...]:
        """What each tensor is: a table by name, or a list where tensors have none."""
        possible = "a table, tensor: what it is" if named else "a list of what the tensors are, in their order"
        value = self._value(key, _NEEDED, possible)
        if named and isinstance(value, dict) and value:
            return tuple((str(name), self._meaning(key, what)) for name, what in value.items())
        if not named and isinstance(value, list) and value:
            return tuple(("", self._meaning(key, what)) for what in value)
        raise self.wrong(key, value, possible)

    def _meaning(self, key: str, what: Any) -> Any:
        if not (isinstance(what, str | bool) or _is_number(what, whole=False)):
            raise self.wrong(key, what, "a name or a number for each tensor")
        return what

    def _value(self, key: str, default: Any, possible: str) -> Any:
        self._asked.append(key)
        value = self._content.get(key, default)
        if value is _NEEDED:
            raise ModelError(f"{self._path}: {self._full(key)} is missing: give {possible}")
        return value

    def _full(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else str(key)


def _is_number(value: Any, *, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(content: Any) -> str:
    return "empty" if content is None else f"a {type(content).__name__}"
