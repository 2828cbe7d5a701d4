"""What a ranker says, kept in a run of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promptile.engine.progress import Progress
from promptile.engine.ranking.cutouts import Cutter
from promptile.engine.ranking.options import Phrases
from promptile.engine.ranking.ranking import Label, rank
from promptile.masks import blocks_of
from promptile.models.protocols import Ranker, Reading
from promptile.run import TiledRun

RANKED = "rank_score"
"""Column of the table of objects: the share of the best phrase."""


@dataclass(frozen=True, eq=False)
class Naming:
    """What objects of everything may be, and what says so; those that are none of it are left out.

    Parameters
    ----------
    phrases : Phrases
    ranker : Ranker
    """

    phrases: Phrases
    ranker: Ranker

    def __post_init__(self) -> None:
        if isinstance(self.ranker, Reading):
            self.ranker.read(self.phrases.all)

    @property
    def spec(self) -> dict[str, Any]:
        """What decides the names; JSON-able."""
        card = self.ranker.card
        return self.phrases.to_json() | {"ranker": {"name": card.name, "digest": card.digest}}


def label_table(run: TiledRun, labels: Mapping[int, Label]) -> None:
    """Give the objects of a run these categories, all at once; the run must be locked."""
    run.finish(_labelled(run.table, labels), run.failed)


def name_objects(run: TiledRun, cutter: Cutter, naming: Naming, progress: Progress) -> None:
    """Name the objects of a run, and leave out those that have no name; the run must be locked.

    The table is written last: a run that was stopped is named again, and what is left of its labels does not matter.
    """
    if RANKED in run.table:
        return
    total = len(run.table)
    labels: dict[int, Label] = {}
    for object_id, label in rank(run, cutter, naming.ranker, naming.phrases):
        labels[object_id] = label
        progress("names", len(labels), total)
    table = _labelled(run.table, labels)
    kept = table[table["category"] != ""].reset_index(drop=True)
    if "parent" in kept:  # what is held by nothing that has a name is held by nothing
        kept["parent"] = kept["parent"].where(kept["parent"].isin(kept["id"]), 0)
    _erase_others(run, kept["id"].to_numpy())
    run.finish(kept, run.failed)


def _labelled(table: pd.DataFrame, labels: Mapping[int, Label]) -> pd.DataFrame:
    named = [labels[i] for i in table["id"].tolist()]
    scores = pd.Series([label.score for label in named], dtype=float)
    return table.assign(category=[label.category for label in named], **{RANKED: scores})


def _erase_others(run: TiledRun, kept: NDArray[np.int64]) -> None:
    """Make background of all objects but some."""
    images = run.images
    for window in blocks_of(run.grid.window):
        here = window.clip(run.grid.shape)
        found = images.read(here)
        stays = np.isin(found, kept)
        if not (stays | (found == 0)).all():
            images.write(here, np.where(stays, found, 0).astype(np.uint32))
