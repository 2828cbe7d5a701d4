"""`segment`: one run over an image, from prompts, by text or for everything in it."""

from __future__ import annotations

import logging
import os
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from promptile.engine import execute
from promptile.engine.detect import Search, Text, areas_of, check_promptable, find, prompts_from, spec_of
from promptile.engine.everything import Everything, check_proposer, compute
from promptile.engine.execute.protocol import Executor
from promptile.engine.growing import grow_all
from promptile.engine.job import Job
from promptile.engine.lattice import Tiling
from promptile.engine.progress import Progress, silent
from promptile.engine.ranking import RANKER, Cutter, Naming, Phrases, loaded, name_objects
from promptile.engine.slices import Slices
from promptile.errors import UsageError
from promptile.models.protocols import Model
from promptile.prompts.types import Prompt, Prompts
from promptile.run import SUFFIX, PromptedRun, Run, TiledRun
from promptile.sources.protocol import Source

DETECTOR = "grounding-dino-tiny"
"""What finds objects by text if nothing else is said."""

_log = logging.getLogger("promptile")


def segment(
    image: Any,
    prompts: Prompts | None = None,
    *,
    everything: bool | Everything = False,
    text: str | Sequence[str] | Text | Phrases | None = None,
    detector: str | Model = DETECTOR,
    ranker: str | Model = RANKER,
    model: str | Model = "basin",
    out: str | os.PathLike[str] | None = None,
    tiling: Tiling | None = None,
    level: int | None = None,
    channels: Sequence[int] | None = None,
    window: str | tuple[float, float] = "auto",
    slices: Slices | None = None,
    skip_outside: bool = False,
    restart: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Segment what the prompts or a text mean, or everything, over as many tiles as each object needs.

    Parameters
    ----------
    image : Source, path or array
        See `promptile.open`.
    prompts : Prompts, optional
        One object per prompt id.
    everything : bool or Everything
        Instead of prompts: all objects that the model sees. `Everything` says which are kept.
    text : str, sequence of str, Text or Phrases, optional
        All objects of these names, each a category. With prompts, boxes and polygons limit where to look, positive and
        negative points correct what is found. `Text` says how sure the detector must be, and where it looks.
        With everything, no detector looks: of all that the model sees those objects are left that a text describes,
        and `Phrases` says how well.
    detector : str or Model
        What finds objects by text; a model then draws them.
    ranker : str or Model
        What compares objects with texts, for everything.
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
    slices : Slices, optional
        Ask about a volume slice by slice. Models for images do so without being told, across the largest spacing.
    skip_outside : bool
        Leave prompts outside the image out instead of refusing them.
    restart : bool
        Throw away what is in `out`.
    workers : int
        How many processes answer tiles, for everything and by text. A script that asks for several must protect its
        own code with ``if __name__ == "__main__":``, as each of them imports it.
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
    if bool(everything) == (prompts is not None or (text is not None and not everything)):
        raise UsageError("Say what is wanted: prompts, text, or everything=True")
    if not everything and text is None and (workers != 1 or scheduler is not None):
        raise UsageError(
            "`workers` and `scheduler` are for text and everything=True: prompts are answered in this process"
        )
    if everything and skip_outside:
        raise UsageError("`skip_outside` is for prompts: leave it out")
    if workers > 1 and str(out).startswith("memory:"):
        raise UsageError(f"{out} is seen by one process only: leave workers out, or give a folder")
    job = Job.prepare(
        image, model, tiling=tiling, everything=bool(everything), channels=channels, window=window, slices=slices
    )
    if everything:
        asked = everything if isinstance(everything, Everything) else Everything()
        if level is not None:
            raise UsageError("`level` is where points are asked: for everything, give Everything(levels=...)")
        naming = None if text is None else Naming(_phrases(text), loaded(ranker))
        with execute.choose(workers, scheduler) as executor:
            return _everything(_All(job, asked, naming), out, restart, executor, progress or silent)
    if prompts is not None and not isinstance(prompts, Prompts):
        raise UsageError(f"Prompts are what Prompts.read or Prompts.of gives, not {type(prompts).__name__}")
    wanted = _inside(Prompts(()) if prompts is None else prompts, job.source, skip_outside)
    if text is not None:
        check_promptable(job)
        search = Search.prepare(
            job.source,
            detector,
            _searched(text),
            channels=channels,
            window=window,
            slices=job.slices,
            areas=areas_of(wanted),
        )
        with execute.choose(workers, scheduler) as executor:
            return _by_text(_Wanted(job, search, wanted, level), out, restart, executor, progress or silent)
    job.check_prompts(wanted)
    grower = job.grower(level)
    run = start_run(job, out, wanted, level=level, restart=restart)
    try:
        grow_all(run, grower, wanted, progress or silent)
    finally:
        run.close()
    return run


def _inside(prompts: Prompts, source: Source, skip_outside: bool) -> Prompts:
    """The prompts that lie on the image."""
    wanted = prompts.inside(source.grid.shape, skip_outside=skip_outside)
    if len(wanted) < len(prompts):
        _log.warning(
            "%d of %d objects lie outside the image and are left out", len(prompts) - len(wanted), len(prompts)
        )
    return wanted


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


@dataclass(frozen=True, eq=False)
class _All:
    """What is wanted of everything, and of which model."""

    job: Job
    asked: Everything
    naming: Naming | None


def _phrases(text: str | Sequence[str] | Text | Phrases) -> Phrases:
    """What objects may be called."""
    if isinstance(text, Text):
        raise UsageError("Text says how a detector looks: with everything=True give Phrases, or the texts alone")
    return text if isinstance(text, Phrases) else Phrases(text)


def _searched(text: str | Sequence[str] | Text | Phrases) -> Text:
    """What a detector looks for."""
    if isinstance(text, Phrases):
        raise UsageError("Phrases compares objects with texts: add everything=True, or give Text")
    return Text.of(text)


def _everything(
    wanted: _All,
    out: str | os.PathLike[str] | None,
    restart: bool,
    executor: Executor,
    progress: Progress,
) -> TiledRun:
    job, asked, naming = wanted.job, wanted.asked, wanted.naming
    check_proposer(job, asked)
    spec = job.spec | {"everything": asked.spec(job)} | ({} if naming is None else {"named": naming.spec})
    run = TiledRun.start(out or _temporary(), spec, restart=restart)
    _settle(run, job, out)
    try:
        compute(run, job, asked, executor, progress)
        if naming is not None:
            name_objects(run, Cutter(job.source, job.rendering), naming, progress)
    finally:
        run.close()
    return run


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What is wanted by text, and of which model."""

    job: Job
    search: Search
    said: Prompts
    level: int | None


def _by_text(
    wanted: _Wanted, out: str | os.PathLike[str] | None, restart: bool, executor: Executor, progress: Progress
) -> PromptedRun:
    job, search = wanted.job, wanted.search
    grower = job.grower(wanted.level)
    spec = job.spec | {"level": wanted.level, "text": spec_of(search, wanted.said)}
    run = PromptedRun.start(out or _temporary(), spec, None, restart=restart)
    _settle(run, job, out)
    try:
        findings = find(run, search, executor, progress)
        asked = run.ask([wish.to_json() for wish in prompts_from(run, findings, search, wanted.said, job.model.card)])
        prompts = Prompts(tuple(map(Prompt.from_json, asked)))
        grow_all(run, grower, prompts, progress, {said["id"]: said["detection"] for said in asked})
    finally:
        run.close()
    return run


def _settle(run: Run, job: Job, out: str | os.PathLike[str] | None) -> None:
    """Keep where the image is; let a run that nobody gave a place vanish with its object."""
    if run.image != job.place:
        run.image = job.place
    if out is None:
        weakref.finalize(run, rmtree, os.path.dirname(run.path), ignore_errors=True)


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="promptile-")) / f"unnamed{SUFFIX}"
