"""Measurements that a run keeps: each object is measured once, and has them among its attributes from then on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from promptile.errors import RunError
from promptile.measuring.objects import Measured, measure_objects
from promptile.measuring.tables import table_of
from promptile.run import Run
from promptile.sources.protocol import Source

logger = logging.getLogger("promptile")


def measure_run(
    run: Run, image: Source, ids: Sequence[int] | None = None, told: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Measure objects of a run, but for those that were measured and have not changed since; keep it in the run.

    Where the run cannot be written, a warning says so.

    Parameters
    ----------
    run : Run
    image : Source
        What the run was made from.
    ids : sequence of int, optional
        Which objects; by default all that have samples.
    told : callable
        Called after each object; what it raises ends the measuring, and what was measured is kept.

    Returns
    -------
    list of dict
        A row per object, as `table_of` gives them.
    """
    versions, table, known = run.versions, run.table, run.measured
    wanted = table["id"] if ids is None else table["id"][table["id"].isin(ids)]
    left = sorted({*wanted.tolist()} - {*known["id"].tolist()})
    new: list[Measured] = []
    try:
        for one in measure_objects(run, image, left):
            new.append(one)
            told()
    finally:
        _keep(run, new, versions)
    rows = [*table_of(new, run.grid), *_named(known[known["id"].isin(wanted)], table)]
    return sorted(rows, key=lambda row: row["id"])


def _keep(run: Run, new: Sequence[Measured], versions: Mapping[int, int]) -> None:
    now = run.versions
    same = [one for one in new if versions[one.id] == now.get(one.id)]  # not painted on meanwhile
    if not same:
        return
    try:
        run.keep_measured(pd.DataFrame(table_of(same, run.grid)).drop(columns="category"), versions)
    except RunError as error:
        logger.warning("%s", error)


def _named(known: pd.DataFrame, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows that were kept, with the categories that objects have now."""
    categories = dict(zip(table["id"], table["category"], strict=True)) if "category" in table else {}
    rows = [{str(name): value for name, value in row.items()} for row in known.to_dict("records")]
    return [{"id": row["id"], "category": categories.get(row["id"]) or ""} | row for row in rows]
