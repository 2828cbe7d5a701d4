"""`segment`: one run over an image, from prompts, by text or for everything in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
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
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.run import PromptedRun, Run, TiledRun
from promptile.run.housing import housed
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
    _check_wish(prompts, everything, text)
    _check_workers(workers, scheduler, out, tiled=bool(everything) or text is not None)
    if everything:
        _check_unsaid(level, skip_outside)
    job = Job.prepare(
        image, model, tiling=tiling, everything=bool(everything), channels=channels, window=window, slices=slices
    )
    home = _Home(out, restart)
    if everything:
        asked = everything if isinstance(everything, Everything) else Everything()
        naming = None if text is None else Naming(_phrases(text), loaded(ranker))
        with execute.choose(workers, scheduler) as executor:
            return _everything(_All(job, asked, naming), home, executor, progress or silent)
    wanted = _inside(Prompts(()) if prompts is None else prompts, job.source, skip_outside)
    if text is None:
        return _from_prompts(_Wanted(job, wanted, level), home, progress or silent)
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
        return _by_text(_Wanted(job, wanted, level), search, home, executor, progress or silent)


def _check_wish(prompts: Prompts | None, everything: bool | Everything, text: Any) -> None:
    """Refuse what asks for nothing, or for two things at once."""
    if bool(everything) == (prompts is not None or (text is not None and not everything)):
        raise UsageError("Say what is wanted: prompts, text, or everything=True")
    if prompts is not None and not isinstance(prompts, Prompts):
        raise UsageError(f"Prompts are what Prompts.read or Prompts.of gives, not {type(prompts).__name__}")


def _check_workers(workers: int, scheduler: str | None, out: str | os.PathLike[str] | None, *, tiled: bool) -> None:
    """Refuse workers that would have nothing to do, or could not see the run."""
    if not tiled and (workers != 1 or scheduler is not None):
        raise UsageError(
            "`workers` and `scheduler` are for text and everything=True: prompts are answered in this process"
        )
    if workers > 1 and str(out).startswith("memory:"):
        raise UsageError(f"{out} is seen by one process only: leave workers out, or give a folder")


def _check_unsaid(level: int | None, skip_outside: bool) -> None:
    """Refuse what is about prompts where everything is asked for."""
    if skip_outside:
        raise UsageError("`skip_outside` is for prompts: leave it out")
    if level is not None:
        raise UsageError("`level` is where points are asked: for everything, give Everything(levels=...)")


def _inside(prompts: Prompts, source: Source, skip_outside: bool) -> Prompts:
    """The prompts that lie on the image."""
    wanted = prompts.inside(source.grid.shape, skip_outside=skip_outside)
    if len(wanted) < len(prompts):
        _log.warning(
            "%d of %d objects lie outside the image and are left out", len(prompts) - len(wanted), len(prompts)
        )
    return wanted


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


@dataclass(frozen=True)
class _Home:
    """Where the run is to be, and whether what is there is thrown away."""

    out: str | os.PathLike[str] | None
    restart: bool

    def prompted(self, job: Job, spec: Mapping[str, Any], prompts: Prompts | None) -> PromptedRun:
        """A locked run; without prompts, it is told later what they are."""
        said = None if prompts is None else prompts.to_json()
        start = partial(PromptedRun.start, spec=job.spec | dict(spec), prompts=said, restart=self.restart)
        return housed(start, self.out, job.place)

    def tiled(self, job: Job, spec: Mapping[str, Any]) -> TiledRun:
        """A locked run of everything."""
        start = partial(TiledRun.start, spec=job.spec | dict(spec), restart=self.restart)
        return housed(start, self.out, job.place)


@dataclass(frozen=True, eq=False)
class _All:
    """What is wanted of everything, and of which model."""

    job: Job
    asked: Everything
    naming: Naming | None


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What is wanted of prompts, and of which model."""

    job: Job
    said: Prompts
    level: int | None


def _everything(wanted: _All, home: _Home, executor: Executor, progress: Progress) -> TiledRun:
    job, asked, naming = wanted.job, wanted.asked, wanted.naming
    check_proposer(job, asked)
    spec = {"everything": asked.spec(job)} | ({} if naming is None else {"named": naming.spec})
    with closing(home.tiled(job, spec)) as run:
        compute(run, job, asked, executor, progress)
        if naming is not None:
            name_objects(run, Cutter(job.source, job.rendering), naming, progress)
    return run


def _from_prompts(wanted: _Wanted, home: _Home, progress: Progress) -> PromptedRun:
    job, prompts = wanted.job, wanted.said
    job.check_prompts(prompts)
    grower = job.grower(wanted.level)
    with closing(home.prompted(job, {"level": wanted.level}, prompts)) as run:
        grow_all(run, grower, prompts, progress)
    return run


def _by_text(wanted: _Wanted, search: Search, home: _Home, executor: Executor, progress: Progress) -> PromptedRun:
    job, said = wanted.job, wanted.said
    grower = job.grower(wanted.level)
    with closing(home.prompted(job, {"level": wanted.level, "text": spec_of(search, said)}, None)) as run:
        findings = find(run, search, executor, progress)
        asked = run.ask([wish.to_json() for wish in prompts_from(run, findings, search, said, job.model.card)])
        prompts = Prompts(tuple(map(Prompt.from_json, asked)))
        grow_all(run, grower, prompts, progress, {prompt["id"]: prompt["detection"] for prompt in asked})
    return run
