"""What was measured of a run's objects in their image, kept beside their table.

::

    measured.parquet     a row per object and version of its mask

A row counts as long as its object has the mask that was measured: a changed object has no measurements until it is
measured again, and has them back when the change is taken back.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from promptile.errors import RunError
from promptile.folders import Folder
from promptile.measures import measured_columns

MEASURED = "measured.parquet"

_KEY = ["id", "version"]


def read_measured(folder: Folder) -> pd.DataFrame:
    """All rows, with the columns ``id`` and ``version``; none where nothing was measured."""
    if not folder.exists(MEASURED):
        return pd.DataFrame(columns=_KEY)
    try:
        frame: pd.DataFrame = parquet.read_table(io.BytesIO(folder.read(MEASURED))).to_pandas()
        return frame
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"{folder.place}/{MEASURED} is damaged: delete it, and measure again with `promptile measure`"
        ) from error


def holding(rows: pd.DataFrame, versions: Mapping[int, int]) -> pd.DataFrame:
    """The rows that are about masks that objects have now, without their version."""
    now = rows["id"].map(versions)
    return rows[now == rows["version"]].drop(columns="version").reset_index(drop=True)


def add_measured(folder: Folder, rows: pd.DataFrame, versions: Mapping[int, int]) -> None:
    """Keep rows about these versions of masks, beside those of others.

    Raises
    ------
    RunError
        If the run cannot be written.
    """
    new = rows.assign(version=rows["id"].map(versions)).dropna(subset="version").astype({"version": "int64"})
    known = read_measured(folder)
    both = pd.concat([known, new], ignore_index=True) if len(known) else new
    written = io.BytesIO()
    both.drop_duplicates(_KEY, keep="last").sort_values(_KEY).to_parquet(written, index=False, compression="zstd")
    try:
        folder.write(MEASURED, written.getvalue())
    except OSError as error:
        raise RunError(f"{folder.place} cannot be written ({error.strerror}): measurements are not kept") from error


def joined(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """A table of objects with what was measured of them; nothing (NaN) of those that were not."""
    columns = [name for name in measured_columns(rows) if name not in table]
    if table.empty or not columns:
        return table
    found = rows.set_index("id")[columns].reindex(table["id"])
    return table.assign(**{name: found[name].to_numpy(float) for name in columns})
