"""The command that measures the objects of a run."""

from __future__ import annotations

import argparse
import json
from typing import Any

from promptile.cli.commands import image_of
from promptile.cli.statuses import OK
from promptile.counts import counted
from promptile.errors import UsageError


def measure_objects(options: argparse.Namespace) -> int:
    """Measure the objects of a run, and print or write the table."""
    from promptile.measuring import check_table, measure_run, plain, write_table
    from promptile.run import Run

    tables = [check_table(path, overwrite=options.overwrite).resolve() for path in options.out]
    if twice := [path for path, table in zip(options.out, tables, strict=True) if tables.count(table) > 1]:
        raise UsageError(f"--out {twice[-1]} is given twice: leave one out")
    run = Run.open(options.run)
    image = image_of(run, options.image)
    rows = measure_run(run, image)
    for path in options.out:
        write_table(rows, path, overwrite=options.overwrite)
    if options.json:
        print(json.dumps(plain(rows)))
    elif options.out:
        print(counted(len(rows), "object"))
        print("\n".join(f"  {path}" for path in options.out))
    else:
        _print(rows)
    return OK


def _print(rows: list[dict[str, Any]]) -> None:
    """The measurements as aligned columns."""
    from promptile.measuring import brief

    if not rows:
        print("0 objects")
        return
    names = ["id", "category", *(name for name in brief(rows[0]) if name != "volume_mm3")]  # which is there in ml
    lines = [names, *([_text(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    for line in lines:
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)))


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
