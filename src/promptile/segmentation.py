"""`segment`: one run over an image."""

from __future__ import annotations

import logging
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from promptile import __version__, models
from promptile.engine.embedder import Embedder
from promptile.engine.lattice import Tiling
from promptile.engine.objects import Grower, Grown
from promptile.engine.paint import paint
from promptile.errors import ModelError, PromptileError, UsageError
from promptile.grid import Grid
from promptile.measures import measure
from promptile.models.protocols import ModelCard, Promptable
from promptile.prompts.types import Prompt, Prompts
from promptile.rendering import Rendering
from promptile.run import SUFFIX, Record, Run
from promptile.sources import Source, open_source

_log = logging.getLogger("promptile")

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""


@dataclass(frozen=True, eq=False)
class Job:
    """An image, a model, and how the one looks at the other; `prepare` checks that they fit."""

    source: Source
    model: Promptable
    rendering: Rendering
    size: tuple[int, ...]
    overlap: tuple[int, ...]
    level: int | None

    @classmethod
    def prepare(
        cls,
        image: Any,
        model: str | Promptable,
        *,
        tiling: Tiling | None = None,
        level: int | None = None,
        channels: Sequence[int] | None = None,
        window: str | tuple[float, float] = "auto",
    ) -> Job:
        """Open an image and load a model; see `segment` for what the arguments mean."""
        source = open_source(image)
        answers = _promptable(model, source.grid.ndim)
        _check_level(source, level)
        rendering = Rendering.of(source, channels=channels, window=window, limit=answers.card.channels)
        size, overlap = (tiling or Tiling()).resolve(source.grid.ndim, answers.card.window)
        return cls(source, answers, rendering, size, overlap, level)

    @property
    def spec(self) -> dict[str, Any]:
        """What decides the result, beside the prompts; JSON-able."""
        return {
            "promptile": __version__,
            "image": dict(self.source.identity),
            "grid": asdict(self.source.grid),
            "rendering": self.rendering.to_json(),
            "model": {"name": self.model.card.name, "digest": self.model.card.digest},
            "tiling": {"size": self.size, "overlap": self.overlap},
            "level": self.level,
        }

    def grower(self) -> Grower:
        """What turns prompts into objects."""
        return Grower(Embedder(self.source, self.rendering, self.model), self.size, self.overlap, self.level)


def segment(
    image: Any,
    prompts: Prompts,
    *,
    model: str | Promptable = "basin",
    out: str | os.PathLike[str] | None = None,
    tiling: Tiling | None = None,
    level: int | None = None,
    channels: Sequence[int] | None = None,
    window: str | tuple[float, float] = "auto",
    skip_outside: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Segment what the prompts mean, over as many tiles as each object needs.

    Parameters
    ----------
    image : Source, path or array
        See `promptile.open`.
    prompts : Prompts
        One object per prompt id.
    model : str or Promptable
        A name of `promptile.models.names()`, or any object that satisfies the protocol.
    out : path, optional
        The run folder ``NAME.run.zarr``: if it holds an interrupted run of the same inputs, that run is continued.
        Without it, the run lives in a temporary folder as long as the returned object.
    tiling : Tiling, optional
        Size and overlap of the windows.
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
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Run
        Objects that could not be answered, after a second try, are in ``run.failed``.

    Raises
    ------
    PromptileError
        If the inputs do not fit each other; nothing is computed then.
    """
    job = Job.prepare(image, model, tiling=tiling, level=level, channels=channels, window=window)
    if not isinstance(prompts, Prompts):
        raise UsageError(f"Prompts are what Prompts.read or Prompts.of gives, not {type(prompts).__name__}")
    wanted = prompts.inside(job.source.grid.shape, skip_outside=skip_outside)
    if len(wanted) < len(prompts):
        _log.warning(
            "%d of %d objects lie outside the image and are left out", len(prompts) - len(wanted), len(prompts)
        )
    refuse_what_model_cannot(job.model, wanted)
    run = start_run(job, out, wanted, restart=restart)
    try:
        _compute(run, job.grower(), wanted, progress or (lambda *_: None))
    finally:
        run.close()
    return run


def start_run(job: Job, out: str | os.PathLike[str] | None, prompts: Prompts | None, *, restart: bool = False) -> Run:
    """A locked run for a job; without `out`, in a temporary folder that goes with the returned object."""
    run = Run.start(out or _temporary(), job.spec, None if prompts is None else prompts.to_json(), restart=restart)
    if out is None:
        weakref.finalize(run, rmtree, run.path, ignore_errors=True)
    return run


def _compute(run: Run, grower: Grower, prompts: Prompts, progress: Progress) -> None:
    """Grow the objects that have no answer yet, failed ones twice, then paint."""
    done = {record.id for record in run.records() if not record.error}
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


def _grow_and_commit(run: Run, grower: Grower, prompt: Prompt) -> Record:
    try:
        grown = grower.grow(prompt)
    except Exception as error:  # whatever a model or file does to one object must not lose the others
        record = Record(prompt.id, prompt.category, prompt.kind, error=_one_line(error))
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


def _promptable(model: str | Promptable, ndim: int) -> Promptable:
    found = models.load(model, ndim) if isinstance(model, str) else model
    if not isinstance(found, Promptable) or not isinstance(found.card, ModelCard):
        raise ModelError(
            f"Model {model!r} cannot answer prompts: it needs a ModelCard `card` and the methods embed and predict"
        )
    if found.card.ndim != ndim:
        raise ModelError(
            f"Model {found.card.name!r} takes {found.card.ndim}D images and this one is {ndim}D: choose another --model"
        )
    return found


def refuse_what_model_cannot(model: Promptable, prompts: Prompts) -> None:
    """Raise ModelError if a prompt is of a kind that the model does not take."""
    for prompt in prompts:
        needed: Mapping[str, bool] = {
            "points": len(prompt.points) > 0,
            "box": prompt.box is not None,
            "mask": prompt.region is not None,
        }
        for ability, asked in needed.items():
            if asked and ability not in model.card.abilities:
                can = ", ".join(sorted(model.card.abilities))
                raise ModelError(
                    f"Model {model.card.name!r} cannot take a {ability} prompt (object {prompt.id}); it takes: {can}"
                )


def _check_level(source: Source, level: int | None) -> None:
    if level is not None and not 0 <= level < len(source.levels):
        raise UsageError(f"Level {level} does not exist: the image has levels 0 to {len(source.levels) - 1}")


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="promptile-")) / f"unnamed{SUFFIX}"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, PromptileError) else f"{type(error).__name__}: {text}"
