"""What is said while and after a command runs."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptile.engine.progress import Progress


def print_facts(facts: dict[str, Any], options: argparse.Namespace) -> None:
    """Facts as aligned lines, or as JSON."""
    if options.json:
        print(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {_in_words(value)}")


def _in_words(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return ", ".join("×".join(map(str, inner)) for inner in value)
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    if isinstance(value, float):
        return f"{value:.9g}"
    return "none" if value is None or value == "" else str(value)


@contextlib.contextmanager
def show_progress(options: argparse.Namespace) -> Iterator[Progress]:
    """A progress bar on stderr, or silence."""
    if options.quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
