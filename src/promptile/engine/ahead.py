"""Embeddings made ahead: all windows in which prompts may be asked, so that no click waits for one."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from promptile.caches import FOLDER, LIMIT
from promptile.embeddings import disk_cache
from promptile.engine.job import Job
from promptile.engine.kept import Kept
from promptile.engine.lattice import Lattice
from promptile.engine.progress import Progress, one_line, silent
from promptile.errors import ModelError, SourceError, UsageError
from promptile.grid import Window
from promptile.models.protocols import Storable, View

_TOGETHER = 4
"""Windows that are embedded at once, where that is not on a CPU: there it would only make cancelling slower."""

_READ_AHEAD = 2
"""Windows that are read while others are embedded."""

_FILL = 15 / 16
"""How much of the cache one image may take, so that it does not push out its own first windows."""

Place = tuple[Window, int]
"""A window and its level."""


@dataclass
class Ahead:
    """What became of the windows of an image."""

    total: int
    known: int = 0
    """Those that were on disk already."""
    made: int = 0
    empty: int = 0
    """Those in which the image has no data: nobody asks there."""
    failed: list[str] = field(default_factory=list)
    """Those that cannot be read, and why."""

    @property
    def done(self) -> int:
        return self.known + self.made + self.empty + len(self.failed)

    def add(self, other: Ahead, name: str) -> None:
        """Count the windows of another image, too."""
        self.total += other.total
        self.known += other.known
        self.made += other.made
        self.empty += other.empty
        self.failed += [f"{name}: {why}" for why in other.failed]


def embed(job: Job, level: int | None = None, progress: Progress = silent) -> Ahead:
    """Make the embeddings of an image that are not on disk yet, and keep them there.

    Parameters
    ----------
    job : Job
    level : int, optional
        Only this one; otherwise all levels, as boxes are asked where a window shows them whole.
    progress : callable
        Called with (what, done, total). When it raises, what was made stays, and the next call goes on.

    Raises
    ------
    ModelError
        If the model keeps no embeddings on disk.
    UsageError
        If there is no such level, or no room for so many embeddings.
    """
    if job.slices is None:
        return _embed(job, level, progress, alike=1)
    planes = job.planes
    if level is None and len(list(_places(planes[0], [0]))) == 1:
        level = 0  # a window shows all of a slice: nothing is ever asked at a coarser level
    whole = Ahead(0)
    for number, plane in enumerate(planes):
        told = partial(_told, progress, whole.done, len(planes))
        whole.add(_embed(plane, level, told, alike=len(planes) - number), plane.source.name)
    return whole


def _told(progress: Progress, before: int, alike: int, what: str, done: int, total: int) -> None:
    """Progress of one of so many images that are alike."""
    progress(what, before + done, total * alike)


def _embed(job: Job, level: int | None, progress: Progress, *, alike: int) -> Ahead:
    """The same for one image, as the first of so many that are `alike`: there must be room for all of them."""
    model = job.model
    if not isinstance(model, Storable):
        raise ModelError(
            f"Model {model.card.name!r} keeps no embeddings: it makes them as fast as they could be read, or has no "
            "`pack` and `unpack`; use it without embedding first"
        )
    kept = Kept(job.source, job.rendering, model)
    if kept.obstacle:
        raise UsageError(kept.obstacle)
    job.check_level(level)
    places = list(_places(job, range(len(job.source.levels)) if level is None else [level]))
    missing = [place for place in places if not kept.has(*place)]
    ahead = Ahead(len(places), known=len(places) - len(missing))
    together = 1 if model.card.device == "cpu" else _TOGETHER
    for batch in _batches(_views(job, missing, ahead), together):
        progress("embedding", ahead.done, ahead.total)
        embeddings = model.embed([view for _, view in batch])
        if len(embeddings) != len(batch):
            raise ModelError(
                f"Model {model.card.name!r} gave {len(embeddings)} embeddings of {len(batch)} windows: its embed must "
                "return one for each"
            )
        for (place, view), embedding in zip(batch, embeddings, strict=True):
            nbytes = kept.write(*place, model.pack(embedding), view.valid)
            if not ahead.made:
                _check_room(nbytes, len(missing) * alike, len(places) * alike)
            ahead.made += 1
    progress("embedding", ahead.done, ahead.total)
    return ahead


def _places(job: Job, levels: Iterable[int]) -> Iterator[Place]:
    for level in levels:
        lattice = Lattice(job.source.grid.coarsen(job.source.levels[level]).shape, job.size, job.overlap)
        for index in lattice.around(Window.of(lattice.shape)):
            yield lattice[index], level


def _views(job: Job, places: Iterable[Place], ahead: Ahead) -> Iterator[tuple[Place, View]]:
    """What is to be seen at each place, read while others are embedded; counts what cannot be, or is empty."""
    with ThreadPoolExecutor(1) as reader:
        waiting = iter(places)
        coming = deque((place, reader.submit(job.view, *place)) for place in islice(waiting, _READ_AHEAD))
        while coming:
            place, future = coming.popleft()
            coming.extend((place, reader.submit(job.view, *place)) for place in islice(waiting, 1))
            try:
                view = future.result()
            except SourceError as error:
                ahead.failed.append(f"Window {place[0].start} of level {place[1]}: {one_line(error)}")
                continue
            if view.valid.any():
                yield place, view
            else:
                ahead.empty += 1


def _batches(views: Iterator[tuple[Place, View]], count: int) -> Iterator[list[tuple[Place, View]]]:
    while batch := list(islice(views, count)):
        yield batch


def _check_room(nbytes: int, missing: int, total: int) -> None:
    """Refuse to begin what cannot be kept, by the size of the first embedding; 0 if even that was too large."""
    cache = disk_cache()
    if not nbytes or nbytes * total > cache.limit * _FILL:
        needed = f"about {nbytes * total / 1e9:.2g} GB" if nbytes else "more"
        raise UsageError(
            f"The embeddings of this image need {needed} and {cache.limit / 1e9:.2g} GB may be kept: "
            f"set {LIMIT} to more bytes, or choose one --level"
        )
    free = shutil.disk_usage(cache.folder).free
    if nbytes * missing > free:
        raise UsageError(
            f"The embeddings of this image need about {nbytes * missing / 1e9:.2g} GB and {cache.folder} has "
            f"{free / 1e9:.2g}: make room, or choose another folder with {FOLDER}"
        )
