"""`segment`: one run over an image, from prompts or for everything in it."""

from __future__ import annotations

import logging
import os
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

from promptile.engine import execute
from promptile.engine.everything import Everything, check_proposer, compute
from promptile.engine.execute.protocol import Executor
from promptile.engine.job import Job
from promptile.engine.lattice import Tiling
from promptile.engine.objects import Grower, Grown
from promptile.engine.paint import paint
from promptile.engine.progress import Progress, one_line, silent
from promptile.errors import UsageError
from promptile.grid import Grid
from promptile.measures import measure
from promptile.models.protocols import Model
from promptile.prompts.types import Prompt, Prompts
from promptile.run import SUFFIX, PromptedRun, Record, Run, TiledRun

_log = logging.getLogger("promptile")


def segment(
    image: Any,
    prompts: Prompts | None = None,
    *,
    everything: bool | Everything = False,
    model: str | Model = "basin",
    out: str | os.PathLike[str] | None = None,
    tiling: Tiling | None = None,
    level: int | None = None,
    channels: Sequence[int] | None = None,
    window: str | tuple[float, float] = "auto",
    skip_outside: bool = False,
    restart: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Segment what the prompts mean, or everything, over as many tiles as each object needs.

    Parameters
    ----------
    image : Source, path or array
        See `promptile.open`.
    prompts : Prompts, optional
        One object per prompt id.
    everything : bool or Everything
        Instead of prompts: all objects that the model sees. `Everything` says which are kept.
    model : str or Model
        A name of `promptile.models.names()`, or any object that satisfies the protocol.
    out : path or URL, optional
        The run folder ``NAME.run.zarr``: if it holds an interrupted run of the same inputs, that run is continued.
        Without it, the run lives in a temporary folder as long as the returned object.
    tiling : Tiling, optional
        Size and overlap of the windows. By default they overlap by half for prompts, and by an eighth, in volumes
        by a quarter, for everything.
    level : int, optional
        Level at which points are asked; default 0. Boxes and masks choose the finest level that shows them whole.
    channels : sequence of int, optional
        Channels that the model sees, from 0.
    window : str or (low, high)
        Intensity range: ``auto``, a CT preset, or two values.
    skip_outside : bool
        Leave prompts outside the image out instead of refusing them.
    restart : bool
        Throw away what is in `out`.
    workers : int
        How many processes answer tiles, for everything. A script that asks for several must protect its own code with
        ``if __name__ == "__main__":``, as each of them imports it.
    scheduler : str, optional
        Address of a dask cluster that answers tiles, ``tcp://...``, or ``local`` for one on this machine.
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Run
        Objects and tiles that could not be answered, after a second try, are in ``run.failed``.

    Raises
    ------
    PromptileError
        If the inputs do not fit each other; nothing is computed then.
    """
    if bool(everything) == (prompts is not None):
        raise UsageError("Say what is wanted: either prompts, or everything=True")
    if not everything and (workers != 1 or scheduler is not None):
        raise UsageError("`workers` and `scheduler` are for everything=True: prompts are answered in this process")
    if everything and skip_outside:
        raise UsageError("`skip_outside` is for prompts: leave it out")
    if workers > 1 and str(out).startswith("memory:"):
        raise UsageError(f"{out} is seen by one process only: leave workers out, or give a folder")
    job = Job.prepare(image, model, tiling=tiling, everything=bool(everything), channels=channels, window=window)
    if everything:
        asked = everything if isinstance(everything, Everything) else Everything()
        if level is not None:
            raise UsageError("`level` is where points are asked: for everything, give Everything(levels=...)")
        with execute.choose(workers, scheduler) as executor:
            return _everything(job, asked, out, restart, executor, progress or silent)
    if not isinstance(prompts, Prompts):
        raise UsageError(f"Prompts are what Prompts.read or Prompts.of gives, not {type(prompts).__name__}")
    wanted = prompts.inside(job.source.grid.shape, skip_outside=skip_outside)
    if len(wanted) < len(prompts):
        _log.warning(
            "%d of %d objects lie outside the image and are left out", len(prompts) - len(wanted), len(prompts)
        )
    job.check_prompts(wanted)
    grower = job.grower(level)
    run = start_run(job, out, wanted, level=level, restart=restart)
    try:
        _compute(run, grower, wanted, progress or silent)
    finally:
        run.close()
    return run


def start_run(
    job: Job,
    out: str | os.PathLike[str] | None,
    prompts: Prompts | None,
    *,
    level: int | None = None,
    restart: bool = False,
) -> PromptedRun:
    """A locked run for a job; without `out`, in a temporary folder that goes with the returned object."""
    said = None if prompts is None else prompts.to_json()
    run = PromptedRun.start(out or _temporary(), job.spec | {"level": level}, said, restart=restart)
    _settle(run, job, out)
    return run


def _everything(
    job: Job,
    asked: Everything,
    out: str | os.PathLike[str] | None,
    restart: bool,
    executor: Executor,
    progress: Progress,
) -> TiledRun:
    check_proposer(job, asked)
    spec = job.spec | {"everything": asked.spec(job)}
    run = TiledRun.start(out or _temporary(), spec, restart=restart)
    _settle(run, job, out)
    try:
        compute(run, job, asked, executor, progress)
    finally:
        run.close()
    return run


def _settle(run: Run, job: Job, out: str | os.PathLike[str] | None) -> None:
    """Keep where the image is; let a run that nobody gave a place vanish with its object."""
    if run.image != job.place:
        run.image = job.place
    if out is None:
        weakref.finalize(run, rmtree, os.path.dirname(run.path), ignore_errors=True)


def _compute(run: PromptedRun, grower: Grower, prompts: Prompts, progress: Progress) -> None:
    """Grow the objects that have no answer yet, failed ones twice, then paint."""
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
            record = _grow_and_commit(run, grower, prompt)
            (failed.append(prompt) if record.error else done.add(prompt.id))
        progress("objects", len(done), total)
        waiting = failed
        if not waiting or attempt == 2:
            break
    progress("labels", 0, 1)
    paint(run, run.records())
    run.finish()
    progress("labels", 1, 1)


def _grow_and_commit(run: PromptedRun, grower: Grower, prompt: Prompt) -> Record:
    try:
        grown = grower.grow(prompt)
    except Exception as error:  # whatever a model or file does to one object must not lose the others
        record = Record(prompt.id, prompt.category, prompt.kind, error=one_line(error))
        run.commit(record, None)
    else:
        record = record_of(prompt, grown, run.grid)
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


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="promptile-")) / f"unnamed{SUFFIX}"
