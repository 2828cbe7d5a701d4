"""From the prompts of a run to its objects: grow, keep, paint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from promptile.engine.objects import Grower, Grown
from promptile.engine.paint import paint
from promptile.engine.progress import Progress, one_line
from promptile.grid import Grid
from promptile.measures import measure
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.run import PromptedRun, Record


def grow_all(
    run: PromptedRun,
    grower: Grower,
    prompts: Prompts,
    progress: Progress,
    detections: Mapping[int, float | None] = MappingProxyType({}),
) -> None:
    """Grow the objects that have no answer yet, failed ones twice, then paint.

    `detections` holds what is known, by id, of how sure a detector was.
    """
    done = {record.id for record in run.answers() if not record.error}
    waiting = [prompt for prompt in prompts if prompt.id not in done]
    if run.finished and not waiting:
        return
    run.reopen()
    for attempt in (1, 2):
        total = len(done) + len(waiting)
        failed = []
        for prompt in _by_place(waiting, grower):
            progress("objects", len(done), total)
            record = _grow_and_commit(run, grower, prompt, detections.get(prompt.id))
            (failed.append(prompt) if record.error else done.add(prompt.id))
        progress("objects", len(done), total)
        waiting = failed
        if not waiting or attempt == 2:
            break
    progress("labels", 0, 1)
    paint(run, run.records())
    run.finish()
    progress("labels", 1, 1)


def _grow_and_commit(run: PromptedRun, grower: Grower, prompt: Prompt, detection: float | None) -> Record:
    try:
        grown = grower.grow(prompt)
    except Exception as error:  # whatever a model or file does to one object must not lose the others
        record = Record(prompt.id, prompt.category, prompt.kind, error=one_line(error))
        run.commit(record, None)
    else:
        record = replace(record_of(prompt, grown, run.grid), detection=detection)
        run.commit(record, grown.mask)
    return record


def record_of(prompt: Prompt, grown: Grown, grid: Grid) -> Record:
    """What a run keeps of an object beside its mask."""
    mask = grown.mask
    return Record(
        id=prompt.id,
        category=prompt.category,
        prompt=prompt.kind,
        score=grown.score,
        bbox=(mask.window.start, mask.window.stop),
        count=mask.count,
        measures=measure(mask, grid),
        tiles=grown.tiles,
        touches_edge=mask.touches_edge(),
        open_edge=grown.open_edge,
    )


def _by_place(prompts: Iterable[Prompt], grower: Grower) -> list[Prompt]:
    """Prompts in the order of the windows they start in, so that an embedding is used while it is there."""

    def place(prompt: Prompt) -> tuple[int, tuple[int, ...], int]:
        level = grower.choose_level(prompt)
        return level, next(grower.seeds(prompt, level)), prompt.id

    return sorted(prompts, key=place)
