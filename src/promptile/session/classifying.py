"""`classify`: names for the objects of a run, from texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptile.engine.progress import Progress, silent
from promptile.engine.ranking import RANKER, Cutter, Label, Phrases, label_table, loaded, rank
from promptile.errors import RunError
from promptile.models.protocols import Model
from promptile.rendering import Rendering
from promptile.run import PromptedRun, Run, State, TiledRun
from promptile.session.images import image_of
from promptile.session.objects import Objects


@dataclass(frozen=True)
class Classified:
    """What came of naming the objects of a run.

    Parameters
    ----------
    run : Run
    counts : mapping from str to int
        Objects of each text, in the order of the texts; under the empty text those that none describes.
    """

    run: Run
    counts: Mapping[str, int]


def classify(
    run: Run | str | os.PathLike[str],
    texts: str | Sequence[str] | Phrases,
    *,
    ranker: str | Model = RANKER,
    image: Any = None,
    progress: Progress | None = None,
) -> Classified:
    """Give every object of a run the category that describes it best, or none.

    Each object's bounding box is cut out of the image and compared with the texts and the background. In runs of
    prompts and sessions this is one step that can be taken back; in runs of everything the table is replaced.

    Parameters
    ----------
    run : Run or path
        Not in use by another process.
    texts : str, sequence of str, or Phrases
        `Phrases` says also what the background is called, and how sure the ranker must be.
    ranker : str or Model
    image : Source, path or array, optional
        The image, if it is not where it was.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    PromptileError
        If the run is not finished or in use, or the image is not there or another one.
    """
    phrases = texts if isinstance(texts, Phrases) else Phrases(texts)
    found = run if isinstance(run, Run) else Run.open(run)
    if found.waiting or not found.finished:
        raise RunError(f"{found.path} is not finished: give its command again, then name its objects")
    judge = loaded(ranker)
    cutter = Cutter(image_of(found, image), Rendering.from_json(found.spec["rendering"]))
    labels: dict[int, Label] = {}
    say, total = progress or silent, len(found.objects)
    for object_id, label in rank(found, cutter, judge, phrases):
        labels[object_id] = label
        say("names", len(labels), total)
    about = phrases.to_json() | {"ranker": {"name": judge.card.name, "digest": judge.card.digest}}
    if isinstance(found, TiledRun):
        _keep_in_table(found, labels)
    else:
        _keep_in_journal(found, labels, about)
    counts = Counter(label.category for label in labels.values())
    return Classified(Run.open(found.path), {text: counts[text] for text in (*phrases.texts, "")})


def _keep_in_table(found: TiledRun, labels: Mapping[int, Label]) -> None:
    run = TiledRun.start(found.path, found.spec, restart=False)
    try:
        label_table(run, labels)
    finally:
        run.close()


def _keep_in_journal(found: Run, labels: Mapping[int, Label], about: Mapping[str, Any]) -> None:
    with Objects(PromptedRun.work_on(found.path, found.spec)) as objects:

        def named(state: State, label: Label) -> State:
            return replace(state, record=replace(state.record, category=label.category, rank_score=label.score))

        after = {i: named(objects.ledger.state(i), label) for i, label in labels.items()}
        if after:
            objects.ledger.do("classify", after, about)
